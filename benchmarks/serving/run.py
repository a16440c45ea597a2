"""The whole measurement; it writes serving.json, serving.md and plots to a folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asof.settings import Settings
from benchmarks.reporting import machine
from benchmarks.serving.effort import Effort
from benchmarks.serving.measuring.breaking import open_loops, overload, tail
from benchmarks.serving.measuring.rounds import Progress, bare_models, closed_loops
from benchmarks.serving.plots import draw
from benchmarks.serving.report import Results, markdown, summary_rows
from benchmarks.serving.setup.catalogue import ASOF, EMPTY, USUAL, catalogue
from benchmarks.serving.setup.world import prepared


def measure_serving(settings: Settings, into: Path, effort: Effort, progress: Progress) -> list[dict[str, Any]]:
    """Measures the peers of the effort, writes the results, and returns the rows for the terminal."""
    with TemporaryDirectory() as folder:
        progress("users, features and both models")
        results: Results = {"machine": machine(), "effort": vars(effort)}
        for part, rows in _measured(settings, Path(folder), effort, progress):
            results[part] = rows
            into.mkdir(parents=True, exist_ok=True)
            (into / "serving.json").write_text(json.dumps(results, indent=1))
    (into / "serving.md").write_text(markdown(results))
    draw(results, into)
    return summary_rows(results)


def _measured(settings: Settings, folder: Path, effort: Effort, progress: Progress) -> Iterator[tuple[str, Any]]:
    world, every = prepared(settings, folder), catalogue()
    os.environ["BENTOML_HOME"] = world.environment()["BENTOML_HOME"]  # where local.stack.services looks for a Bento
    chosen = {name: peer for name, peer in every.items() if not effort.only or name in effort.only}
    progress("the bare models")
    yield "bare", bare_models(world, effort)
    closed, left_out = closed_loops(list(chosen.values()), world, effort, progress)
    yield "left_out", left_out
    yield "closed", closed
    fullest = {row["name"]: max(row["loops"], key=lambda loop: loop["requests_per_second"]) for row in closed}
    opened = list[dict[str, Any]]()
    for name in (USUAL, EMPTY, ASOF):
        if name in fullest:
            progress(f"open loops: {chosen[name].title}")
            opened += open_loops(chosen[name], world, fullest[name]["requests_per_second"], effort)
    yield "open", opened
    if ASOF in fullest:
        progress(f"the tail: {chosen[ASOF].title}")
        yield "tail", tail(chosen[ASOF], world, effort)
        progress(f"three times too much: {chosen[ASOF].title}")
        yield "overload", overload(chosen[ASOF], world, fullest[ASOF], effort)
