"""Runs the benchmarks and prints them as tables; the figures are also written to `.asof/benchmarks.json`.

`python -m benchmarks [--users N] [PART ...]`, where the parts are those of PARTS (default: all) and N is the number of
users of the largest training set. The parts `serving` and `online-store` have options of their own, and write files to
`.asof/benchmarks/`. See README.md here.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from pydantic import SecretStr
from rich.console import Console
from rich.status import Status
from rich.table import Table

from asof.settings import Settings
from benchmarks.false_promotions.measure import DRAWS, QUICK_DRAWS, measure_false_promotions
from benchmarks.monitoring.estimates import QUICK_SIZES, SIZES, measure_estimates
from benchmarks.monitoring.full_ledger import measure_full_ledger
from benchmarks.monitoring.quiet_year import QUICK_SEEDS, SEEDS, measure_quiet_year
from benchmarks.offline.partitions import measure_partitions, measure_scores
from benchmarks.offline.ranges import measure_ranges
from benchmarks.offline.scoring import measure_scoring
from benchmarks.offline.sources import measure_sources
from benchmarks.offline.stages import STAGES
from benchmarks.offline.training_sets import measure_stream, measure_training_sets
from benchmarks.online_store import run as online_store
from benchmarks.processes import run_json
from benchmarks.serving.batches import measure_batches
from benchmarks.serving.effort import QUICK, Effort
from benchmarks.serving.explanations import measure_explanations
from benchmarks.serving.ledger import measure_ledger
from benchmarks.serving.outcomes import measure_outcomes
from benchmarks.serving.protocols import QUICK_ROUNDS, measure_protocols
from benchmarks.serving.protocols import ROUNDS as PROTOCOL_ROUNDS
from benchmarks.serving.run import measure_serving
from benchmarks.serving.setup.catalogue import catalogue
from benchmarks.serving.shadow import measure_shadow
from benchmarks.swaps import measure_swaps
from benchmarks.terminal import ROUNDS, measure_terminal
from local.embedded_postgres import postgres

STAGE_USERS = (7_043, 200_000)
USERS = 100_000

Row = Mapping[str, Any]
AnyEffort = TypeVar("AnyEffort", Effort, online_store.Effort)


@dataclass(frozen=True)
class Run:
    """The options of the command line, and what every part needs."""

    settings: Settings
    options: argparse.Namespace
    status: Status

    @property
    def folder(self) -> Path:
        """For files that a part writes."""
        return self.settings.home / "benchmarks"

    def progress(self, text: str) -> None:
        self.status.update(f"{text} ...")
        self.status.console.log(text)

    def effort(self, full: AnyEffort, quick: AnyEffort) -> AnyEffort:
        """One of these, with the fields that options set."""
        chosen = quick if self.options.quick else full
        options = {name: getattr(self.options, name, None) for name in vars(chosen)}
        changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        lists = {name: tuple(value) for name, value in changes.items() if isinstance(value, list)}
        return replace(chosen, **changes | lists)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Settings]:
        """Settings with databases and a home of their own, dropped afterwards."""
        settings, database = self.settings, f"asof_bench_{name}_{os.getpid()}"
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


def main(arguments: list[str] | None = None) -> None:
    options = _options(arguments)
    console, settings = Console(), postgres.ensure(Settings())
    machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    report: dict[str, Any] = {"machine": machine}
    for part in options.parts or PARTS:
        title, measure = PARTS[part]
        with console.status(f"{part} ...") as status:
            report[part] = list(measure(Run(settings, options, status)))
        console.print(_table(title, report[part]))
        (settings.home / "benchmarks.json").write_text(json.dumps(report, indent=2))


def _options(arguments: list[str] | None) -> argparse.Namespace:
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
    store, default = parser.add_argument_group("online-store (and --quick, --rounds, --seconds)"), online_store.Effort
    sizes = f"to materialise (default: {' '.join(map(str, default.sizes))})"
    store.add_argument("--sizes", nargs="+", type=int, metavar="USERS", help=sizes)
    most = f"for the slow peers, and in the store that is read (default: {default.most_slow})"
    store.add_argument("--most-slow", type=int, metavar="USERS", help=most)
    entities = f"of one read (default: {' '.join(map(str, default.entities))})"
    store.add_argument("--entities", nargs="+", type=int, metavar="USERS", help=entities)
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    return options


def _stages(run: Run) -> Iterator[Row]:
    for users in STAGE_USERS:
        with run.scratch(str(users)) as own, TemporaryDirectory() as folder:
            for stage in STAGES:
                run.status.update(f"{stage}, {users:,} users ...")
                arguments = (stage, f"{folder}/extracts", str(users))
                yield run_json(own.environment(), "benchmarks.offline.stages", *arguments)


def _serving(run: Run) -> Iterator[Row]:
    with run.scratch("serving") as own:
        yield from measure_serving(own, run.folder, run.effort(Effort(), QUICK), run.progress)


def _online_store(run: Run) -> Iterator[Row]:
    effort = run.effort(online_store.Effort(), online_store.QUICK)
    yield from online_store.measure_online_store(run.scratch, run.folder, effort, run.progress)


def _batches(run: Run) -> Iterator[Row]:
    with run.scratch("batches") as own:
        yield from measure_batches(own, run.progress)


def _protocols(run: Run) -> Iterator[Row]:
    with run.scratch("protocols") as own:
        rounds = QUICK_ROUNDS if run.options.quick else PROTOCOL_ROUNDS
        yield from measure_protocols(own, run.progress, rounds=rounds)


def _explanations(run: Run) -> Iterator[Row]:
    with run.scratch("explanations") as own:
        yield from measure_explanations(own, run.progress)


def _ledger(run: Run) -> Iterator[Row]:
    with run.scratch("ledger") as own:
        yield from measure_ledger(own, run.progress)


def _shadow(run: Run) -> Iterator[Row]:
    with run.scratch("shadow") as own:
        yield from measure_shadow(own, run.progress)


def _outcomes(run: Run) -> Iterator[Row]:
    with run.scratch("outcomes") as own:
        yield from measure_outcomes(own, run.progress)


def _swaps(run: Run) -> Iterator[Row]:
    with run.scratch("swaps") as own:
        yield from measure_swaps(own)


def _terminal(run: Run) -> Iterator[Row]:
    with run.scratch("terminal") as own:
        yield from measure_terminal(own, rounds=1 if run.options.quick else ROUNDS)


def _training_sets(run: Run) -> Iterator[Row]:
    users = run.options.users
    for size in (users // 10, users // 3, users):
        run.status.update(f"training set, {size:,} users ...")
        with run.scratch(f"set_{size}") as own:
            yield measure_training_sets(own, size)


def _sources(run: Run) -> Iterator[Row]:
    for rows in (run.options.users, 10 * run.options.users):
        run.status.update(f"live table, {rows:,} rows ...")
        with run.scratch(f"source_{rows}") as own:
            yield measure_sources(own, rows)


def _scoring(run: Run) -> Iterator[Row]:
    with run.scratch("scoring_models") as models, run.scratch("scoring") as own:
        one_registry = {"mlflow_tracking_uri": models.mlflow_tracking_uri, "home": models.home}
        yield from measure_scoring(models, own.model_copy(update=one_registry), run.options.users)


def _ranges(run: Run) -> Iterator[Row]:
    with run.scratch("ranges_models") as models, run.scratch("ranges") as own:
        one_registry = {"mlflow_tracking_uri": models.mlflow_tracking_uri, "home": models.home}
        yield from measure_ranges(models, own.model_copy(update=one_registry), run.options.users)


def _partitions(run: Run) -> Iterator[Row]:
    for users in (run.options.users // 5, run.options.users // 2, run.options.users):
        run.status.update(f"24 months of {users:,} users ...")
        with run.scratch(f"partitions_{users}") as own:
            yield from measure_partitions(own, users)


def _runs(run: Run) -> Iterator[Row]:
    with run.scratch("runs") as own:
        yield from measure_scores(own, run.options.users)


def _gate(run: Run) -> Iterator[Row]:
    return measure_false_promotions(QUICK_DRAWS if run.options.quick else DRAWS)


def _quiet_year(run: Run) -> Iterator[Row]:
    return measure_quiet_year(run.progress, seeds=QUICK_SEEDS if run.options.quick else SEEDS)


def _estimates(run: Run) -> Iterator[Row]:
    return measure_estimates(run.progress, sizes=QUICK_SIZES if run.options.quick else SIZES)


def _full_ledger(run: Run) -> Iterator[Row]:
    with run.scratch("full_ledger") as own:
        yield from measure_full_ledger(own, 10 * run.options.users)


def _streams(run: Run) -> Iterator[Row]:
    for rows in (run.options.users, 10 * run.options.users):
        run.status.update(f"fingerprint of {rows:,} rows ...")
        yield measure_stream(run.settings, rows)


PARTS: dict[str, tuple[str, Callable[[Run], Iterator[Row]]]] = {
    "stages": ("The offline stages, two months, each in a process of its own", _stages),
    "serving": ("POST /predict beside its peers", _serving),
    "online-store": ("Our online store beside Feast's and bare SQL", _online_store),
    "batches": ("POST /predict/batch, 10,000 users at once", _batches),
    "protocols": ("The Open Inference Protocol and MLflow's, beside ours", _protocols),
    "explanations": ("What an explanation costs, beside a plain answer", _explanations),
    "ledger": ("What keeping each answer costs", _ledger),
    "shadow": ("What a challenger in shadow costs the answers", _shadow),
    "outcomes": ("POST /predict beside posts of 10,000 outcomes", _outcomes),
    "swaps": ("From a promotion to its first answer, under load", _swaps),
    "training-sets": ("A training set of twelve months and five views, beside the join by hand", _training_sets),
    "sources": ("A live table of ten columns, beside a bare COPY to COPY", _sources),
    "scoring": ("Every user scored, beside the bare model on an array in memory", _scoring),
    "partitions": ("A snapshot table of 24 months, by month and as one table", _partitions),
    "runs": ("Scores of 12 runs in one table, and by run", _runs),
    "ranges": ("Ten ranges scored by each engine with one worker", _ranges),
    "terminal": ("The commands that people type, beside `feast --help`", _terminal),
    "gate": ("Promotions of models that are no better, and of better ones, by target and held-out rows", _gate),
    "quiet-year": ("Alarms of monitoring in a year in which nothing changes", _quiet_year),
    "estimates": ("The AUC estimated without outcomes, beside the true one", _estimates),
    "full-ledger": ("`flows monitor` over ten times as many rows, and again with nothing new", _full_ledger),
    "streams": ("The fingerprint of a stream", _streams),
}


def _table(title: str, rows: list[Row]) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns, title=title, title_justify="left", box=None)
    for row in rows:
        cells = (row.get(name, "") for name in columns)
        table.add_row(*(f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in cells))
    return table


if __name__ == "__main__":
    main()
