"""Users leave by the documented hazard alone, and no feature knows the outcome."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asof.use_cases.churn.raw_schema import EXTRACT
from simulator import Simulation, SimulationPlan, simulate
from simulator.hazard import USUAL, hazard_inputs

PLAN = SimulationPlan(last_as_of=date(2024, 3, 31), users=12_000, months=3)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(PLAN, tmp_path_factory.mktemp("usual") / "extracts")


def features(simulation: Simulation, month: int) -> pd.DataFrame:
    folder = simulation.folder / f"month_{month:03}"
    tables = [pd.read_csv(folder / f"{t.name}.csv", keep_default_na=False, na_values=[""]) for t in EXTRACT.tables]
    return reduce(lambda left, right: left.merge(right, on="user_id", validate="1:1"), tables)


def truth(simulation: Simulation, month: int) -> pd.DataFrame:
    return pd.read_csv(simulation.folder / "truth" / f"month_{month:03}.csv")


def inputs(simulation: Simulation, month: int) -> pd.DataFrame:
    fallen = truth(simulation, month)["hours_fallen"].to_numpy()
    return pd.DataFrame(hazard_inputs(dict(features(simulation, month).items()), fallen))


def auc(left: "pd.Series[bool]", score: "pd.Series[float]") -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(left, score))


def documented_hazards(folder: Path) -> dict[str, Mapping[str, float]]:
    hazards = json.loads((folder / "truth" / "plan.json").read_text())["hazards"]
    return {hazard["name"]: {"intercept": hazard["intercept"], **hazard["coefficients"]} for hazard in hazards}


def test_the_documented_hazard_gives_the_log_odds_of_the_truth_from_the_extracts(usual: Simulation) -> None:
    hazard = dict(documented_hazards(usual.folder)["usual"])
    logit = hazard.pop("intercept") + (inputs(usual, 1) * hazard).sum(axis="columns")
    expected = truth(usual, 1)
    assert np.allclose(logit, expected["logit"], atol=1e-9)
    assert np.allclose(1 / (1 + np.exp(-expected["logit"] - expected["noise"])), expected["true_probability"])


def test_a_fifth_leaves_each_month_and_the_distribution_is_stable(usual: Simulation) -> None:
    assert all(0.15 < rate < 0.30 for rate in usual.leaving_rates)
    first, last = features(usual, 0), features(usual, 2)
    numbers = first.select_dtypes("number").columns
    moved = (last[numbers].mean() - first[numbers].mean()) / first[numbers].std()
    assert moved.abs().max() < 0.05
    mixes = [rows["contract_type"].value_counts(normalize=True) for rows in (first, last)]
    assert (mixes[0] - mixes[1]).abs().max() < 0.01


def test_a_model_finds_the_signs_of_the_features_and_is_near_the_best_possible(usual: Simulation) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=np.inf))
    model.fit(inputs(usual, 0), truth(usual, 0)["left"])
    found = dict(zip(inputs(usual, 0), model[-1].coef_[0], strict=True))
    wrong = [name for name, weight in USUAL.coefficients.items() if weight * found[name] <= 0]
    later = truth(usual, 1)
    ceiling = auc(later["left"], later["true_probability"])
    reached = auc(later["left"], model.predict_proba(inputs(usual, 1))[:, 1])
    assert not wrong
    assert 0.82 < ceiling < 0.87
    assert 0.80 < reached < ceiling
    assert reached > auc(later["left"], later["logit"]) - 0.005


def test_no_feature_is_informative_beyond_the_true_probability(usual: Simulation) -> None:
    """The score of each standardised feature in a logistic model with p as offset is standard normal without a leak."""
    for month in range(3):
        found, rows = truth(usual, month), features(usual, month).drop(columns="user_id")
        rows["signup_date"] = pd.to_datetime(rows["signup_date"]).astype("int64")
        rows["position"] = np.arange(len(rows))
        columns = pd.get_dummies(rows).astype(float).fillna(0.0)
        columns = (columns - columns.mean()) / columns.std()
        p = found["true_probability"]
        z = columns.mul(found["left"] - p, axis=0).sum() / np.sqrt(columns.pow(2).mul(p * (1 - p), axis=0).sum())
        assert z.abs().max() < 4, z.abs().nlargest(3)


def test_drift_changes_the_inputs_and_not_the_hazard(usual: Simulation, tmp_path: Path) -> None:
    drifted = simulate(replace(PLAN, drift=0.5), tmp_path / "drifted")
    assert features(drifted, 0).equals(features(usual, 0))
    still, moved = features(usual, 2), features(drifted, 2)
    assert moved["watch_hours_30d"].mean() == pytest.approx(still["watch_hours_30d"].mean() - 6.0, abs=0.5)
    assert moved["rebuffer_events_7d"].mean() > 1.4 * still["rebuffer_events_7d"].mean()
    assert np.allclose(
        USUAL.logit({n: c.to_numpy() for n, c in inputs(drifted, 2).items()}), truth(drifted, 2)["logit"]
    )


def test_a_drift_in_one_month_is_whole_there_and_stays_unless_it_ends(usual: Simulation, tmp_path: Path) -> None:
    stepped = simulate(replace(PLAN, drift=0.5, drift_month=1), tmp_path / "stepped")
    assert features(stepped, 0).equals(features(usual, 0))
    for month in (1, 2):
        still, moved = features(usual, month), features(stepped, month)
        assert moved["watch_hours_30d"].mean() == pytest.approx(still["watch_hours_30d"].mean() - 3.0, abs=0.5)
        assert np.allclose(
            USUAL.logit({n: c.to_numpy() for n, c in inputs(stepped, month).items()}), truth(stepped, month)["logit"]
        )
    document = json.loads((stepped.folder / "truth" / "plan.json").read_text())
    assert [month["drift"] for month in document["months"]] == [0, 0.5, 0.5]
    ended = simulate(replace(PLAN, drift=0.5, drift_month=1, drift_end_month=2), tmp_path / "ended")
    hours = [
        features(ended, month)["watch_hours_30d"].mean() - features(usual, month)["watch_hours_30d"].mean()
        for month in range(3)
    ]
    assert hours == pytest.approx([0, -3, 0], abs=0.5)
    assert "drift_month" not in json.loads((usual.folder / "truth" / "plan.json").read_text())["plan"]


def test_a_change_of_concept_changes_who_leaves_and_not_the_inputs(usual: Simulation, tmp_path: Path) -> None:
    changed = simulate(replace(PLAN, concept_change_month=1), tmp_path / "changed")
    for name in ("month_000", "labels_000", "month_001"):
        for path in (usual.folder / name).iterdir():
            assert (changed.folder / name / path.name).read_bytes() == path.read_bytes()
    before, after = truth(usual, 1), truth(changed, 1)
    assert auc(before["left"], before["logit"]) > 0.8
    assert auc(after["left"], before["logit"]) < 0.6
    assert auc(after["left"], after["logit"]) > 0.75
    assert 0.15 < after["left"].mean() < 0.30
