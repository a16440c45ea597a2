"""Golden screens at 80 and 120 columns, and how tables fit a terminal."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from flows.terminal.screens.data import ingest_screen, inspection_screen, parity_screen, simulation_screen
from flows.terminal.screens.machine import demo_screen, findings_screen, keep_screen, servers_screen
from flows.terminal.screens.models import (
    history_screen,
    promotion_screen,
    reproduction_screen,
    retrain_screen,
    scoring_screen,
)
from flows.terminal.screens.screen import Screen, cut, fitted, print_screen

GOLDEN = Path(__file__).with_name("golden")
MAY, JUNE = datetime(2024, 5, 31, tzinfo=UTC), datetime(2024, 6, 30, tzinfo=UTC)
NOW = datetime(2024, 7, 1, 9, 30, 12, tzinfo=UTC)
DIGEST = "7b2e8b4490221c3a05c055ec12a7c3c37b592d0c030bf8524587966768ff3826"
FOLDER = "/home/ana/streamflow/churn/extracts-of-the-first-half-of-2024/delivered-by-the-data-warehouse/monthly/inbox"

PARITY: dict[str, Any] = {
    "summary": "5 of 38,000 values of 2,000 users differ, as of 2024-06-30T00:00+00:00",
    "next": "",
    "agrees": False,
    "wrong": 5,
    "misfit": "",
    "features": [
        {"view": "usage_agg_30d_fv", "feature": "watch_hours_30d", "type": "Float64", "equal": 1995, "unequal": 5},
        {"view": "users_fv", "feature": "has_family", "type": "Bool", "equal": 2000, "unequal": 0},
    ],
    "examples": [
        {
            "verdict": "unequal",
            "entity": "customer-of-the-old-system-0000000000000000000000000000000000000017",
            "feature": "watch_hours_30d",
            "offline": 40.09,
            "offline_as_of": JUNE,
            "online": 41.0,
            "online_as_of": JUNE,
        }
    ],
}
for feature in PARITY["features"]:
    others = ("other type", "only offline", "only online", "past ttl", "older online", "newer online")
    feature |= dict.fromkeys(others, 0)

CRITERIA = [
    {
        "name": "better AUC",
        "passed": True,
        "reason": "AUC 0.8412 beats version 1's 0.8117: the difference is 0.0295, its 95 % interval 0.0101 to 0.0489.",
    },
    {"name": "calibration", "passed": False, "reason": "The expected calibration error is 0.0712; at most 0.0500."},
]
OUTCOME = {"name": "streamflow_churn", "version": "2", "promoted": False, "previous": "1", "criteria": CRITERIA}

SCREENS: dict[str, tuple[Callable[[Any], Screen], dict[str, Any]]] = {
    "simulate": (
        simulation_screen,
        {
            "folder": FOLDER,
            "written": True,
            "leaving_rates": [0.2215, 0.2105],
            "plan": {"users": 7043, "months": 6, "last_as_of": JUNE.date()},
            "next": f"python -m flows ingest {FOLDER} --as-of 2024-01-31 --backfill",
        },
    ),
    "ingest": (
        ingest_screen,
        {
            "deliveries": [
                {"folder": "month_004", "as_of": MAY, "rows": {"users": 2000}, "new_rows": {"users": 0}},
                {
                    "folder": "month_005",
                    "as_of": JUNE,
                    "rows": {"users": 2000, "usage": 1890},
                    "new_rows": {"users": 2000, "usage": 1890},
                },
            ],
            "online": {
                "as_of": NOW,
                "refreshes": [
                    {"view": "users_fv", "since": JUNE, "entities": 2000, "seconds": 1.337},
                    {"view": "support_agg_90d_fv", "since": None, "entities": 0, "seconds": 0.0},
                ],
            },
            "parity": PARITY
            | {"summary": "all 38,000 values of 2,000 users agree", "wrong": 0}
            | {"features": [], "examples": []},
        },
    ),
    "parity": (parity_screen, PARITY),
    "inspect": (
        inspection_screen,
        {
            "page": f"{FOLDER}/churn-2024-06-30.html",
            "stops": ["target-leak:usage.cancelled"],
            "months": [{"as_of": JUNE, "entities": 2000, "label_rate": 0.2654}],
            "findings": [
                {
                    "severity": "error",
                    "acknowledged": False,
                    "name": "target-leak:usage.cancelled",
                    "found": "cancelled gives the label away: 99.1 % of the users agree.",
                    "to do": "Leave the column out.",
                }
            ],
        },
    ),
    "retrain": (
        retrain_screen,
        {
            "inspection": [{"severity": "warning", "finding": "constant:usage.avg_session", "acknowledged": False}],
            "version": {
                "name": "streamflow_churn",
                "version": "2",
                "run_id": "d6a890b351774a3e9fe89783972eefc6",
                "facts": {"as_of": MAY, "known_at": NOW, "fingerprint": DIGEST},
                "metrics": {"auc": 0.8412, "auc_low": 0.82, "auc_high": 0.86, "rows_train": 1487.0}
                | {"average_precision": 0.61, "log_loss": 0.41, "brier": 0.13},
            },
            "promotion": OUTCOME,
        },
    ),
    "promote": (promotion_screen, OUTCOME | {"promoted": True, "criteria": CRITERIA[:1]}),
    "reproduce": (
        reproduction_screen,
        {
            "name": "streamflow_churn",
            "version": "1",
            "verdict": "the training set differs",
            "agrees": False,
            "greatest_difference": 0.1 + 0.2,
            "checks": [{"check": "rows digest", "agrees": False, "recorded": DIGEST, "now": DIGEST[::-1]}],
            "rebuilt": {
                "definition": ("- FROM usage", "+ FROM usage_v2"),
                "not_compared": (),
                "differences": {
                    "rows_gone": 0,
                    "rows_new": 1,
                    "cells_changed": {"watch_hours_30d": 1204},
                    "first": [{"entity": "u 1", "then": None, "now": 0.1 + 0.2}],
                },
            },
            "metrics": [],
            "environment": [{"name": "blas", "recorded": "openblas", "now": "mkl", "changed": True}],
            "not_compared": ("The model, as its estimator is gone.",),
        },
    ),
    "score": (
        scoring_screen,
        {
            "users": 7043,
            "seconds": 0.41,
            "users_per_second": 17178,
            "new": 7043,
            "flagged": 3,
            "model": "streamflow_churn",
            "version": "1",
            "as_of": JUNE,
            "known_at": NOW,
            "to": "postgres",
            "run_id": "0b9f2f6e-0c0e-4a57-9a44-3f5f7d6c3d11",
            "outcomes": [{"outcome": "scored", "users": 7040}, {"outcome": "missing-features", "users": 3}],
        },
    ),
    "history": (
        history_screen,
        {
            "model": "streamflow_churn",
            "intact": True,
            "findings": (),
            "mlflow": "",
            "entries": [
                {
                    "seq": 1,
                    "event": "promoted",
                    "version": "1",
                    "previous": None,
                    "at": NOW,
                    "who": "ana@workstation-17",
                }
                | {"reason": "passed the gate", "hash": DIGEST},
                {
                    "seq": 2,
                    "event": "rolled back",
                    "version": "1",
                    "previous": "2",
                    "at": NOW,
                    "who": "ana@workstation-17",
                }
                | {"reason": "complaints of the sales team on Monday", "hash": DIGEST[::-1]},
            ],
        },
    ),
    "ledger-keep": (
        keep_screen,
        {
            "before": MAY,
            "folder": FOLDER,
            "months": [
                {
                    "partition": f"predictions_2024_0{month}",
                    "rows": 1_200_000 * month,
                    "bytes": 480_000_000 * month,
                    "file": f"{FOLDER}/predictions_2024_0{month}-7b2e8b449022.parquet",
                }
                for month in (1, 2)
            ],
            "made": 1,
            "segments": 17_000,
            "dry_run": False,
        },
    ),
    "up": (
        servers_screen,
        {
            "servers": {
                "postgres": {"note": "not ours: ASOF_POSTGRES_URL", "address": "db.example:5432", "pid": None},
                "mlflow": {"note": "", "address": "http://127.0.0.1:5050", "pid": 17310},
                "prediction": {"note": "", "address": "http://127.0.0.1:3000", "pid": 17631},
            }
        },
    ),
    "demo": (demo_screen, {"passed": True, "seconds": 24.6, "next": "make up ARGS=churn"}),
    "doctor": (
        findings_screen,
        {
            "well": False,
            "errors": 1,
            "warnings": 0,
            "notes": 2,
            "seconds": 1.4,
            "findings": [{"severity": "error", "found": "MLflow does not answer.", "fix": "Run `make up`."}],
        },
    ),
}


def _printed(screen: Screen, width: int) -> str:
    output = io.StringIO()
    print_screen(Console(file=output, width=width), screen)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_as_recorded(name: str, width: int) -> None:
    make, result = SCREENS[name]
    assert _printed(make(result), width) == (GOLDEN / f"{name}-{width}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCREENS)
def test_no_table_is_wider_than_the_terminal_and_no_word_is_broken(name: str) -> None:
    make, result = SCREENS[name]
    tables = Screen("", tables=make(result).tables)
    lines = _printed(tables, 80).splitlines()
    assert max(map(cell_len, lines)) <= 80
    words = {word for line in _printed(tables, 400).splitlines() for word in line.split()}
    assert {word for line in lines for word in line.split() if ".." not in word} <= words


def test_an_example_without_a_row_on_one_side_is_shown() -> None:
    (example,) = PARITY["examples"]
    absent = {"verdict": "only offline", "online": None, "online_as_of": None}
    assert "no row" in _printed(parity_screen(PARITY | {"examples": [example | absent]}), 120)


def test_paths_are_whole_on_a_line_of_their_own() -> None:
    assert f"  {FOLDER}" in _printed(Screen("Done.", {"folder": FOLDER}), 80).splitlines()


def test_words_give_way_the_widest_first_and_none_is_cut_needlessly() -> None:
    assert fitted([40, 30, 50], [True, True, False], 80) == [28, 28, 50]
    assert fitted([10, 20], [True, True], 80) == [10, 20]
    assert fitted([90, 90], [True, True], 10) == [12, 12]


@pytest.mark.parametrize(
    ("text", "width", "expected"), [("abcdefghij", 10, "abcdefghij"), ("abcdefghijk", 8, "abc..ijk")]
)
def test_a_word_is_cut_in_its_middle(text: str, width: int, expected: str) -> None:
    assert cut(text, width) == expected
    assert len(cut(text, width)) <= width
