"""Twelve months in operation: late rows, a drift of the inputs in April, another concept from July, a bug in October.

Every figure, alert and version comes about by the product's own commands; nobody intervenes but to mend the bug.
"""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from asof.settings import Settings
from simulator import SimulationPlan
from tests.kits.monitoring.year import Month, Operation
from tests.kits.service import following

pytestmark = pytest.mark.soak

DRIFT, CONCEPT, BUG, LAST = 4, 7, 10, 12
LATE = (2, 5, 9)
"""Months in which some rows come a month late."""
PLAN = SimulationPlan(
    date(2025, 1, 31),  # month 0 is December 2023, month 1 January
    users=1500,
    months=14,
    late_share=0.03,
    drift=0.5,
    drift_month=DRIFT,
    drift_end_month=DRIFT + 1,
    concept_change_month=CONCEPT,
)
CUT_OFF = 'UPDATE online."asof.usage_agg_30d_fv" SET watch_hours_30d = trunc(watch_hours_30d)'
INPUTS = {"drift", "joint-shift", "score-shift"}
FEATURES = {
    "usage_agg_30d": ("watch_hours_30d", "unique_devices_30d", "skips_7d", "rebuffer_events_7d"),
    "payments_agg_90d": ("failed_payments_90d",),
    "support_agg_90d": ("support_tickets_90d",),
}
"""Those of the model, by the tables that have late rows."""

Year = Mapping[int, Month]


@pytest.fixture(scope="module")
def operation(
    settings: Settings, world: dict[str, str], bentoml_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """Months follow each other within a minute: no alert waits for its cool-down."""
    environment = {**world, "BENTOML_HOME": str(bentoml_home), "ASOF_ALERT_COOLDOWN_HOURS": "0"}
    with following.mlflow_server(settings, tmp_path_factory.mktemp("mlflow")) as mlflow:
        yield Operation(settings, environment, mlflow.address, PLAN, tmp_path_factory.mktemp("year"), LATE)


@pytest.fixture(scope="module")
def year(operation: Operation) -> Year:
    operation.prepare()
    months = {}
    for month in range(1, LAST + 1):
        if month > 1:
            operation.ingest(month, *(["--whole"] if month == BUG + 1 else []))
        months[month] = operation.live(planted=CUT_OFF if month == BUG else "")
    return months


def test_a_drift_of_the_inputs_is_a_warning_in_its_month_and_retrains_nothing(year: Year) -> None:
    assert [number for number in range(1, CONCEPT + 1) if "drift" in year[number].alerts()] == [DRIFT]
    drift = year[DRIFT].figures("drift")["psi watch_hours_30d"]
    assert (drift["verdict"], drift["value"] > 0.1) == ("alarm", True)
    assert year[DRIFT].alerts(severity="error") == set()
    assert year[DRIFT].monitor["retraining"] == []
    assert "drift" in year[DRIFT + 1].alerts("closed")


def test_a_change_of_the_concept_is_silent_until_its_first_outcomes(year: Year) -> None:
    before, changed = year[CONCEPT - 1], year[CONCEPT]
    assert changed.alerts() & INPUTS == set()
    estimated = [each.figures("estimated-performance")["auc"]["value"] for each in (before, changed)]
    assert estimated[1] == pytest.approx(estimated[0], abs=0.03)
    found = year[CONCEPT + 1].figures("performance")["auc"]
    assert (found["as_of"], found["verdict"]) == (str(changed.as_of), "alarm")
    assert found["high"] < found["detail"]["promotion"][1] < estimated[1]


def test_its_first_outcomes_retrain_and_the_new_version_is_promoted_and_served(year: Year) -> None:
    assert [number for number in year if "performance" in year[number].alerts("closed")] == [CONCEPT + 1]
    (retraining,) = year[CONCEPT + 1].monitor["retraining"]
    assert retraining["outcome"] == "Version 2 was trained as of 2024-07-31, and was promoted"
    assert {number: month.versions for number, month in year.items()} == {
        **dict.fromkeys(range(1, CONCEPT + 1), ("1",)),
        CONCEPT + 1: ("1", "2"),
        **dict.fromkeys(range(CONCEPT + 2, LAST + 1), ("2",)),
    }
    assert year[LAST].figures("performance")["auc"]["verdict"] == "ok"
    assert [
        each["outcome"] for number in range(CONCEPT + 2, LAST + 1) for each in year[number].monitor["retraining"]
    ] == []


def test_a_bug_of_the_service_is_named_by_the_audit_alone(year: Year) -> None:
    found = year[BUG]
    shares = {each["finding"]: each for each in found.audit["shares"]}
    assert set(shares["serving-bug"]["features"]) == {"watch_hours_30d"}
    (first,) = (each for each in found.audit["first"] if each["finding"] == "serving-bug")
    assert "type: the fraction was cut off" in first["why"]
    assert found.alerts(severity="error") == {"audit"}
    hours = [year[number].figures("drift")["psi watch_hours_30d"] for number in (BUG - 1, BUG)]
    assert [each["verdict"] for each in hours] == ["notice", "notice"], "other users, and no more than the month before"
    assert (
        found.figures("performance")["auc"]["verdict"] == year[BUG + 1].figures("performance")["auc"]["verdict"] == "ok"
    )
    assert "audit" in year[BUG + 1].alerts("closed")


def test_late_rows_are_named_value_by_value(year: Year, operation: Operation) -> None:
    for month in LATE:
        shares = {each["finding"]: each for each in year[month + 1].audit["shares"]}
        expected = changed_by_late_rows(operation, month)
        assert shares["late-data"]["features"] == expected
        assert shares["late-data"]["values"] == expected.total() > 50


def test_clean_months_have_no_finding_and_no_error(year: Year) -> None:
    errors = {
        number: month.alerts(severity="error") | month.alerts("closed", "error") for number, month in year.items()
    }
    assert {number: rules for number, rules in errors.items() if rules} == {
        CONCEPT + 1: {"performance", "calibration"},
        BUG: {"audit"},
        BUG + 1: {"audit"},
    }
    findings = {number: set(month.findings) for number, month in year.items()}
    late = {month + 1: {"late-data"} for month in LATE}
    assert {number: kinds for number, kinds in findings.items() if kinds} == {
        **late,
        BUG: findings[BUG],
        BUG + 1: {"serving-bug"},
    }
    assert findings[BUG] == {"serving-bug"} | late.get(BUG, set())


def test_the_page_tells_the_year(year: Year, operation: Operation, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    operation.run("report", "churn", "--out", str(file))
    told = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", file.read_text()))
    assert "It replaced version 1 on " in told
    stories = told[told.index("what came of each") :]
    for steps in (
        ("AUC of version 1 is 0.", "retraining began", "trained as of 2024-07-31, and was promoted", "took over"),
        ("Served values are not what they must be: serving-bug", "closed", "within its bounds as of 2024-11-30"),
        ("from the training rows: ", "closed", "drift is within its bounds as of 2024-05-31"),
    ):
        place = 0
        for step in steps:
            place = stories.index(step, place)


def changed_by_late_rows(operation: Operation, month: int) -> Counter[str]:
    """How many served values of each feature its late rows changed: until then the month before was the newest."""
    extracts = operation.folder / "extracts"
    injected = pd.read_csv(extracts / "truth" / f"injected_{month:03}.csv")
    found: Counter[str] = Counter()
    for table, features in FEATURES.items():
        before, after = (
            pd.read_csv(extracts / f"month_{number:03}_r1" / f"{table}.csv").set_index("user_id")
            for number in (month - 1, month)
        )
        users = injected.loc[injected["table"] == table, "user_id"]
        for feature in features:
            found[feature] += int((before[feature].reindex(users) != after[feature].reindex(users)).sum())
    return +found
