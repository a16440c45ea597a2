"""Runs the benchmarks and prints them as tables; the figures go to `.asof/benchmarks.json` too. See README.md here."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from asof.settings import Settings
from benchmarks.predictions import measure_predictions
from benchmarks.processes import run_json
from benchmarks.stages import STAGES
from local import postgres

SIZES = (7_043, 200_000)


def main() -> None:
    console = Console()
    settings = postgres.ensure(Settings())
    stages = [row for users in SIZES for row in _stages(console, settings, users)]
    console.print(_table("The offline stream, two months, each stage in a process of its own", stages))
    with console.status("predictions ..."), _scratch(settings, "predictions") as own:
        predictions = measure_predictions(own)
    console.print(_table("POST /predict beside an empty BentoML endpoint, one worker each", predictions))
    report = {"machine": _machine(), "stages": stages, "predictions": predictions}
    (settings.home / "benchmarks.json").write_text(json.dumps(report, indent=2))


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
