"""The reference of a version: what monitoring compares later months with, kept with its run."""

import json
from dataclasses import replace

import numpy as np
import pytest

from asof.errors import ConfigurationError
from asof.settings import Settings
from tests.kits.models.training import made_up_set, small_use_case
from training.metrics.binning import CategoryBins, NumberBins
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.evaluation.reference import Reference, reference_of_rows
from training.models.evaluation.reference_file import REFERENCE_FILE, reference_of
from training.models.fitting.train import train
from training.tracking.client import open_tracking

USE_CASE = replace(small_use_case("made_up"), slices=("plan", "hours"))


@pytest.fixture(scope="module")
def evaluation(settings: Settings) -> Evaluation:
    whole = made_up_set()
    frame = whole.frame.copy()
    frame.loc[:11, "hours"] = np.nan
    return evaluate(settings, train(settings, USE_CASE, replace(whole, frame=frame)))


@pytest.fixture(scope="module")
def reference(settings: Settings, evaluation: Evaluation) -> Reference:
    found = reference_of(settings, evaluation.run_id)
    assert found is not None
    return found


def test_complete_rows_are_counted_in_bins_and_those_without_a_feature_apart(reference: Reference) -> None:
    assert reference.rows == 800
    assert reference.missing["hours"] == 12
    assert {each.rows for each in reference.features.values()} == {788}
    hours, plan = reference.features["hours"].bins, reference.features["plan"].bins
    assert isinstance(hours, NumberBins)
    assert isinstance(plan, CategoryBins)
    assert reference.features["hours"].counts[0] == 0
    assert sum(reference.features["hours"].counts[1:-2]) == 788


def test_scores_calibration_and_metrics_are_those_of_the_held_out_rows(
    reference: Reference, evaluation: Evaluation
) -> None:
    scores, rows = reference.scores[""], evaluation.predictions.size
    assert scores.binned.rows == rows
    assert scores.mean == pytest.approx(evaluation.predictions.mean())
    assert scores.share_over_threshold == (evaluation.predictions >= (evaluation.facts.threshold or 0)).mean()
    assert sum(each.n for each in reference.reliability[""]) == rows
    for name, each in reference.estimates.items():
        assert each.value == pytest.approx(evaluation.metrics[name])
    assert reference.metrics["auc"][1] == evaluation.metrics["auc_low"]


def test_slices_are_text_by_value_and_numbers_by_quarters_with_their_figures(reference: Reference) -> None:
    quarters = reference.slices["hours"]
    assert isinstance(quarters, NumberBins)
    assert len(quarters.edges) == 5
    assert {name.partition("=")[0] for name in reference.slice_metrics} == {"plan", "hours"}


def test_the_file_is_json_of_any_reader_and_gives_the_same_reference(
    settings: Settings, reference: Reference, evaluation: Evaluation
) -> None:
    path = open_tracking(settings).download_artifacts(evaluation.run_id, REFERENCE_FILE)
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        text = file.read()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert Reference.from_dict(json.loads(text)) == reference


def test_a_slice_that_is_no_feature_is_refused_before_training_takes_time(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"The slices region are no features .* Take some of: hours"):
        train(settings, replace(USE_CASE, slices=("region", "plan")), made_up_set())


def test_an_older_version_has_the_counts_of_its_training_rows(settings: Settings) -> None:
    trained = train(settings, USE_CASE, made_up_set())  # as of before there was a reference: not evaluated
    found = reference_of(settings, trained.run_id)
    assert found is not None
    assert not found.scores
    assert found.rows == 800
    assert found.features == reference_of_rows(made_up_set().frame, trained.facts.contract).features


def test_a_run_without_rows_has_no_reference(settings: Settings) -> None:
    client = open_tracking(settings)
    run = client.create_run(client.create_experiment("without_rows"))
    assert reference_of(settings, run.info.run_id) is None
