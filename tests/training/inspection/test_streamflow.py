"""What is true of the real extracts is named, unprompted; clean simulated months are passed in silence."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from asof.use_cases import load
from benchmarks.false_alarms import BUILT_IN
from simulator import SimulationPlan, simulate
from tests.kits.data.inspection import found
from training.inspection import Examination, Finding, examine, months_in, page

CHURN = load("churn")
LAST = date(2024, 2, 29)


@pytest.fixture(scope="module")
def real(streamflow: Path) -> Examination:
    months = months_in(streamflow, CHURN.extract, first=date(2024, 1, 31))
    return examine(months, acknowledged=CHURN.acknowledged)


@pytest.fixture(scope="module")
def findings(real: Examination) -> Mapping[str, Finding]:
    return {each.finding.name: each.finding for each in real.findings}


def test_plans_are_null_exactly_for_the_users_without_internet(findings: Mapping[str, Finding]) -> None:
    for plan in ("plan_stream_tv", "plan_stream_movies"):
        finding = findings[f"not-applicable:subscriptions.{plan}"]
        assert finding.figures == {"nulls": 1526, "by_the_rule": 1526}
        assert "exactly where subscriptions.net_service is 'No'" in finding.sentence


def test_the_constant_column_is_named_with_its_value(findings: Mapping[str, Finding]) -> None:
    assert "29.14104464084511, in all 7,043" in findings["constant:usage_agg_30d.avg_session_mins_7d"].sentence


def test_resolution_times_are_filled_where_there_are_no_tickets(findings: Mapping[str, Finding]) -> None:
    finding = findings["filled-without-count:support_agg_90d.ticket_avg_resolution_hrs_90d"]
    assert "where support_agg_90d.support_tickets_90d is 0" in finding.sentence
    assert finding.figures["filled"] == finding.figures["rows_without"] > 4000


def test_sign_up_dates_contradict_the_months_of_activity(findings: Mapping[str, Finding]) -> None:
    figures = findings["contradiction:subscriptions.months_active~users.signup_date"].figures
    assert (figures["greatest_count"], figures["days_between_dates"]) == (72, 36)
    assert figures["best_share"] < 0.6 < 1 == figures["gamma"]


def test_users_and_subscriptions_are_those_of_the_month_before(findings: Mapping[str, Finding]) -> None:
    for table, columns in {"users": 5, "subscriptions": 8}.items():
        assert findings[f"unchanged:{table}"].figures == {"entities": 7043, "columns": columns}
    measured = ("skips_7d", "unique_devices_30d")
    assert all(findings[f"unchanged:usage_agg_30d.{column}"].figures["entities"] == 7043 for column in measured)
    assert "unchanged:usage_agg_30d" not in findings


def test_months_of_activity_do_not_advance(findings: Mapping[str, Finding]) -> None:
    assert findings["stands-still:subscriptions.months_active"].figures["not_advanced"] == 7043


def test_watching_rebuffers_payments_and_tickets_moved_but_not_far(findings: Mapping[str, Finding]) -> None:
    moved = {name for name in findings if name.startswith("drift:")}
    assert moved == {
        "drift:usage_agg_30d.watch_hours_30d",
        "drift:usage_agg_30d.rebuffer_events_7d",
        "drift:payments_agg_90d.failed_payments_90d",
        "drift:support_agg_90d.support_tickets_90d",
    }
    assert {str(findings[name].severity) for name in moved} == {"info"}


def test_label_rates_and_agreement(findings: Mapping[str, Finding], real: Examination) -> None:
    assert [month.label_rate for month in real.months] == pytest.approx([0.2654, 0.2415], abs=5e-5)
    assert "26.54% (7,043 labels) to 24.15%" in findings["label-rate:labels.churn_label"].sentence
    figures = findings["labels-unrelated:labels.churn_label"].figures
    assert (round(figures["share"], 4), round(figures["correlation"], 3)) == (0.6235, 0.006)


def test_the_concept_changed(findings: Mapping[str, Finding]) -> None:
    figures = findings["concept:labels.churn_label"].figures
    assert figures["auc_before"] > 0.8
    assert figures["after_low"] < 0.5


def test_the_errors_of_the_real_extracts_are_acknowledged_and_no_others(real: Examination) -> None:
    errors = {each.finding.name for each in real.findings if each.finding.severity == "error"}
    assert errors == set(CHURN.acknowledged)
    assert real.stopping == ()


def test_the_page_shows_every_finding_and_needs_nothing_but_itself(real: Examination) -> None:
    html = page(real, "<StreamFlow>")
    assert [each.finding.name for each in real.findings if f">{each.finding.name}<" not in html] == []
    assert html.count("data:image/png;base64,") == 7
    assert "http" not in html
    assert "&lt;StreamFlow&gt;" in html


def simulated(folder: Path, **plan: float | int) -> Examination:
    made = SimulationPlan(LAST, months=3, **plan)  # type: ignore[arg-type]
    simulate(made, folder / "extracts")
    return examine(months_in(folder / "extracts", CHURN.extract, first=made.as_of(0)))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 6))])
def test_clean_simulated_months_raise_no_alarm(tmp_path: Path, seed: int) -> None:
    examination = simulated(tmp_path, users=2000, seed=seed)
    assert examination.alarms == ()
    assert set(found(examination)) == BUILT_IN


def test_simulated_drift_is_an_alarm_for_what_drifts(tmp_path: Path) -> None:
    names = found(simulated(tmp_path, users=2000, drift=0.5))
    assert names["drift:usage_agg_30d.watch_hours_30d"] == "warning"
    assert names["drift:usage_agg_30d.rebuffer_events_7d"] == "warning"
    assert not any(name.startswith("drift:users") for name in names)


def test_a_simulated_change_of_concept_is_an_alarm(tmp_path: Path) -> None:
    examination = simulated(tmp_path, users=3000, concept_change_month=1)
    assert [each.finding.name for each in examination.alarms] == ["concept:labels.churn_label"]


def test_simulated_late_rows_are_missed_until_the_month_is_delivered_again(tmp_path: Path) -> None:
    (late, *others) = (each for each in simulated(tmp_path, users=2000, late_share=0.1).alarms)
    newest = [each.finding.name for each in (late, *others)]
    assert newest == [f"missing-rows:{table}" for table in ("usage_agg_30d", "payments_agg_90d", "support_agg_90d")]
    assert {each.months[0].date() for each in (late, *others)} == {LAST}
