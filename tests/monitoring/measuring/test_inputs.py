"""The values behind answers: integers that no double holds, models that differ, and the connection they come from."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as arrow
import pytest

from asof.features.feature_contract import Feature, FeatureContract, input_arrays
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.writer import Spool
from asof.settings import Settings
from asof.use_cases import load
from monitoring.measuring.census import take_census
from monitoring.measuring.inputs import column_values
from monitoring.measuring.measure import Measured, Wanted, measure
from monitoring.measuring.training import Training
from monitoring.measuring.values import stream_values
from monitoring.records.figure import Subject, VersionWindow
from tests.kits.ledger.answers import MadeAnswer, add_answers, empty, ledger
from tests.kits.service import ledger as ledger_kit
from training.metrics.binning import binned_sample
from training.models.evaluation.reference import Reference

CHURN, JANUARY = load("churn"), datetime(2024, 1, 31, tzinfo=UTC)
LARGE = [2**53 + 1, 2**60 + 1, -(2**63), 2**63 - 1]


@pytest.fixture(scope="module")
def shared(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with ledger(server, tmp_path_factory.mktemp("home")) as settings:
        yield settings


@pytest.fixture
def answered(shared: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An answer with an integer above 2**53, of a version that was trained with others."""
    empty(shared)
    spool, encoder = Spool(tmp_path, 2**20), ledger_kit.encoder()
    spool.append(encoder, ledger_kit.one(encoder, new_request_id()))
    spool.close()
    ledger_kit.ship(shared, tmp_path)
    reference = Reference(2, {}, {"months": binned_sample(np.array([1.0, 2.0**60]))}, {})
    monkeypatch.setattr("monitoring.measuring.measure.training_of", lambda *_: Training(reference=reference))
    return shared


def measured(settings: Settings) -> Measured:
    return measure(settings, CHURN, Wanted({}), progress=lambda _: None)


def test_integers_beyond_the_exact_ones_of_doubles_are_rounded_as_in_training() -> None:
    contract = FeatureContract("", "row", (Feature("months", "", "Int64"),))
    expected = input_arrays({"months": np.array(LARGE)}, contract, {})["months"]
    found = column_values(arrow.chunked_array([[*LARGE, None]]))
    assert found[:-1].tolist() == expected.tolist()
    assert np.isnan(found[-1])


def test_a_large_integer_has_a_figure_of_drift(answered: Settings) -> None:
    (drift,) = [each for each in measured(answered).figures if each.subject == Subject.DRIFT]
    assert (drift.about, drift.n) == ("months", 1)


def test_an_error_in_the_middle_leaves_no_transaction_open(answered: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ArithmeticError("cannot be counted")

    monkeypatch.setattr("monitoring.measuring.inputs.counted", fails)
    with pytest.raises(ArithmeticError) as kept:
        measured(answered)
    assert kept.tb  # its frames keep what they refer to
    with psycopg.connect(answered.ledger_conninfo()) as connection:
        connection.execute("SET lock_timeout = '5s'")
        connection.execute("LOCK TABLE ledger.predictions IN ACCESS EXCLUSIVE MODE")  # as moving a month does


def test_a_feature_that_only_one_model_of_a_version_has_is_null_in_the_other(shared: Settings) -> None:
    empty(shared)
    at = JANUARY + timedelta(days=1)
    old = MadeAnswer(at, "u1", JANUARY, bento="b1", values={"fee": 1.0})
    new = MadeAnswer(at, "u2", JANUARY, bento="b2", values={"hours": 2.0})
    with psycopg.connect(shared.ledger_conninfo()) as connection:
        add_answers(connection, old)
    with psycopg.connect(shared.ledger_conninfo()) as connection:
        add_answers(connection, new)
    known_at = at + timedelta(days=1)
    models = take_census(shared, CHURN, known_at).models
    (table,) = stream_values(shared, CHURN, VersionWindow("1", JANUARY), models=models, known_at=known_at)
    assert dict(zip(table["entity"].to_pylist(), table["hours"].to_pylist(), strict=True)) == {"u1": None, "u2": 2.0}
