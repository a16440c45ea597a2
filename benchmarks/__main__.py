"""Runs the benchmarks and prints them as tables; the figures go to `.asof/benchmarks.json` too. See README.md here.

`python -m benchmarks [--users N] [PART ...]`, where the parts are those of PARTS (default: all) and N the users of the
largest training set. The parts `serving` and `online-store` have options of their own, and leave files in
`.asof/benchmarks/`.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr
from rich.console import Console
from rich.status import Status
from rich.table import Table

from asof.settings import Settings
from benchmarks.false_promotions import measure_false_promotions
from benchmarks.online_store import effort as online
from benchmarks.online_store.run import measure_online_store
from benchmarks.processes import run_json
from benchmarks.scoring import measure_scoring
from benchmarks.serving.batches import measure_batches
from benchmarks.serving.catalogue import catalogue
from benchmarks.serving.effort import QUICK, Effort
from benchmarks.serving.run import measure_serving
from benchmarks.stages import STAGES
from benchmarks.swaps import measure_swaps
from benchmarks.training_sets import measure_stream, measure_training_sets
from local.embedded_postgres import postgres

SIZES = (7_043, 200_000)
USERS = 100_000


def main(words: list[str] | None = None) -> None:
    asked = _asked(words)
    console = Console()
    settings = postgres.ensure(Settings())
    report: dict[str, Any] = {"machine": _machine()}
    for part in asked.parts or PARTS:
        title, measure = PARTS[part]
        report[part] = list(measure(console, settings, asked))
        console.print(_table(title, report[part]))
        (settings.home / "benchmarks.json").write_text(json.dumps(report, indent=2))


def _asked(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}")
    parser.add_argument(
        "--users", type=int, default=USERS, help="of the largest training set and of scoring; 1000000 takes 12 GB"
    )
    serving = parser.add_argument_group("serving")
    serving.add_argument("--quick", action="store_true", help="one round of one second each")
    serving.add_argument("--rounds", type=int, help=f"of the closed loops (default: {Effort.rounds})")
    serving.add_argument("--seconds", type=float, help=f"of one closed loop (default: {Effort.seconds:g})")
    serving.add_argument("--tail-seconds", type=float, help=f"of the tail (default: {Effort.tail_seconds:g})")
    serving.add_argument("--only", nargs="+", metavar="PEER", choices=catalogue(), help=f"of: {', '.join(catalogue())}")
    store = parser.add_argument_group("online-store (and --quick, --rounds, --seconds)")
    sizes = f"to materialise (default: {' '.join(map(str, online.Effort.sizes))})"
    store.add_argument("--sizes", nargs="+", type=int, metavar="USERS", help=sizes)
    most = f"for Feast's ways, and in the store that is read (default: {online.Effort.most_slow})"
    store.add_argument("--most-slow", type=int, metavar="USERS", help=most)
    entities = f"of one read (default: {' '.join(map(str, online.Effort.entities))})"
    store.add_argument("--entities", nargs="+", type=int, metavar="USERS", help=entities)
    asked = parser.parse_args(words)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    return asked


def _all_stages(console: Console, settings: Settings, _: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    for users in SIZES:
        yield from _stages(console, settings, users)


def _serving(console: Console, settings: Settings, asked: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    with console.status("serving ...") as status, _scratch(settings, "serving") as own:
        yield from measure_serving(own, settings.home / "benchmarks", _effort(asked), lambda what: _say(status, what))


def _batches(console: Console, settings: Settings, _: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    with console.status("batches ...") as status, _scratch(settings, "batches") as own:
        yield from measure_batches(own, lambda what: _say(status, what))


def _effort(asked: argparse.Namespace) -> Effort:
    names = ("rounds", "seconds", "tail_seconds", "only")
    given = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    return replace(QUICK if asked.quick else Effort(), **given)


def _online_store(console: Console, settings: Settings, asked: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    names = ("rounds", "seconds", "most_slow")
    given = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    given |= {name: tuple(getattr(asked, name)) for name in ("sizes", "entities") if getattr(asked, name)}
    effort = replace(online.QUICK if asked.quick else online.Effort(), **given)
    with console.status("online store ...") as status:
        yield from measure_online_store(
            lambda name: _scratch(settings, name),
            settings.home / "benchmarks",
            effort,
            lambda what: _say(status, what),
        )


def _say(status: Status, what: str) -> None:
    status.update(f"{what} ...")
    status.console.log(what)


def _swaps(console: Console, settings: Settings, _: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    with console.status("swaps ..."), _scratch(settings, "swaps") as own:
        yield from measure_swaps(own)


def _training_sets(console: Console, settings: Settings, asked: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    for size in (asked.users // 10, asked.users // 3, asked.users):
        with console.status(f"training set, {size:,} users ..."), _scratch(settings, f"set_{size}") as own:
            yield measure_training_sets(own, size)


def _streams(console: Console, settings: Settings, asked: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    for rows in (asked.users, 10 * asked.users):
        with console.status(f"fingerprint of {rows:,} rows ..."):
            yield measure_stream(settings, rows)


def _scoring(console: Console, settings: Settings, asked: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    with (
        console.status(f"scoring {asked.users:,} users ..."),
        _scratch(settings, "scoring_models") as models,
        _scratch(settings, "scoring") as own,
    ):
        one_registry = {"mlflow_tracking_uri": models.mlflow_tracking_uri, "home": models.home}
        yield from measure_scoring(models, own.model_copy(update=one_registry), asked.users)


def _gate(console: Console, _: Settings, __: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    with console.status("the gate ..."):
        yield from measure_false_promotions()


Measure = Callable[[Console, Settings, argparse.Namespace], Iterator[Mapping[str, Any]]]
PARTS: dict[str, tuple[str, Measure]] = {
    "stages": ("The offline stream, two months, each stage in a process of its own", _all_stages),
    "serving": ("POST /predict beside its peers", _serving),
    "online-store": ("Our online store beside Feast's and bare SQL", _online_store),
    "batches": ("POST /predict/batch, 10,000 users at once", _batches),
    "swaps": ("From a promotion to its first answer, under load", _swaps),
    "training-sets": ("A training set of twelve months and five views, beside the join by hand", _training_sets),
    "scoring": ("Every user scored, beside the bare model on an array in memory", _scoring),
    "gate": ("Promotions of models that are no better, by rows and positives held out", _gate),
    "streams": ("The fingerprint of a stream", _streams),
}


def _stages(console: Console, settings: Settings, users: int) -> Iterator[Mapping[str, Any]]:
    with _scratch(settings, str(users)) as own, TemporaryDirectory() as folder:
        for stage in STAGES:
            with console.status(f"{stage}, {users:,} users ..."):
                yield run_json(own.environment(), "benchmarks.stages", stage, f"{folder}/extracts", str(users))


@contextmanager
def _scratch(settings: Settings, name: str) -> Iterator[Settings]:
    """Settings with databases and a home of their own, dropped afterwards."""
    database = f"asof_bench_{name}_{os.getpid()}"
    with TemporaryDirectory() as home, psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        for each in (database, f"{database}_mlflow"):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(each)))
        try:
            url = SecretStr(settings.database(database).render_as_string(hide_password=False))
            uri = settings.sqlalchemy_url("psycopg2", f"{database}_mlflow")
            yield settings.model_copy(update={"postgres_url": url, "mlflow_tracking_uri": uri, "home": Path(home)})
        finally:
            for each in (database, f"{database}_mlflow"):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(each)))


def _table(title: str, rows: list[Mapping[str, Any]]) -> Table:
    table = Table(*rows[0], title=title, title_justify="left", box=None)
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in row.values()))
    return table


def _machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}


if __name__ == "__main__":
    main()
