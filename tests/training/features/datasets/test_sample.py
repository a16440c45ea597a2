"""A training set of a share of the entities: the same ones in every month, on both sides of the split."""

from datetime import date
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from asof.errors import ConfigurationError
from asof.model_facts import Split
from tests.kits.data.history import CHURN, History, moment
from tests.kits.models.cancer import CANCER
from training.features.datasets.dataset import build_training_set
from training.features.datasets.sample import is_sampled, sampled

SHARE = 0.4
LATER = moment(date(2024, 12, 31))


@pytest.mark.parametrize("month", [0, 1])
def test_a_sample_has_every_row_of_its_entities(history: History, month: int) -> None:
    as_of = moment(history.plan.as_of(month))
    whole = build_training_set(history.settings, CHURN, as_of, known_at=LATER)
    part = build_training_set(history.settings, CHURN.sampled(SHARE), as_of, known_at=LATER)
    expected = whole.frame[whole.frame["user_id"].map(lambda user: is_sampled([user], SHARE))].reset_index(drop=True)
    assert part.frame.equals(expected)
    assert len(expected) == pytest.approx(SHARE * len(whole.frame), rel=0.2)
    assert part.fingerprint != whole.fingerprint
    _, held_out = part.split(Split(0.25))
    assert len(held_out.frame) == pytest.approx(0.25 * len(expected), rel=0.3), "the split has another hash"


def test_keys_of_any_kind_are_hashed_as_their_text(history: History) -> None:
    one = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    rows = [(number, f"Größe {number}", UUID(int=one.int + number)) for number in range(200)]
    columns = [sql.Identifier(name) for name in ("number", "name", "id")]
    values = sql.SQL(", ").join(sql.SQL("({}, {}, {})").format(*map(sql.Literal, row)) for row in rows)
    query = sql.SQL("SELECT number FROM (VALUES {}) AS each (number, name, id) WHERE {}")
    with psycopg.connect(history.settings.conninfo()) as connection:
        found = connection.execute(query.format(values, sampled(columns, SHARE))).fetchall()
    assert [number for (number,) in found] == [
        number for number, *others in rows if is_sampled((number, *others), SHARE)
    ]


def test_a_share_must_be_one_and_rows_of_a_use_case_are_its_own() -> None:
    with pytest.raises(ConfigurationError, match="a share above 0 and up to 1"):
        CHURN.sampled(1.5)
    with pytest.raises(ConfigurationError, match="has rows of its own"):
        CANCER.sampled(SHARE)
