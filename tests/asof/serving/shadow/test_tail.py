"""The spool as a queue of a challenger: each answer once, whatever the shipper, another service or a kill does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asof.features.feature_contract import Feature, FeatureContract
from asof.ledger.answers import Answer, Answers, ReadColumns, ReadValues, Single
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.segments import segment_paths
from asof.ledger.spool.shadow_frames import ShadowScores, encode_scores
from asof.ledger.spool.writer import Spool
from asof.serving.shadow.rows import Rows, columns, places_of
from asof.serving.shadow.tail import Tail
from tests.kits.service.ledger import BY_VIEW, FEATURES, VALUES, encoder, one

CONTRACT = FeatureContract("s", "user_id", FEATURES)


def append(spool: Spool, *entities: str, version: str = "1") -> None:
    model = encoder(version)
    for entity in entities:
        assert spool.append(model, one(model, new_request_id(), entity))


def entities(tail: Tail) -> list[str]:
    return [entity for kept in tail.read() for entity in kept.frame.header["entities"]]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, 2**24)


def test_each_answer_is_read_once_while_it_is_appended(tmp_path: Path, spool: Spool) -> None:
    tail = Tail(tmp_path, "churn", {})
    assert entities(tail) == []
    append(spool, "a", "b")
    assert entities(tail) == ["a", "b"]
    append(spool, "c")
    append(spool, "d", version="2")
    assert entities(tail) == ["c", "d"]
    assert entities(tail) == []


def test_another_tail_goes_on_where_the_first_was(tmp_path: Path, spool: Spool) -> None:
    append(spool, "a", "b")
    first = Tail(tmp_path, "churn", {})
    assert entities(first) == ["a", "b"]
    append(spool, "c")
    assert entities(Tail(tmp_path, "churn", first.places)) == ["c"]


def test_a_file_that_the_shipper_deletes_is_read_to_its_end(tmp_path: Path, spool: Spool) -> None:
    tail = Tail(tmp_path, "churn", {})
    append(spool, "a")
    assert entities(tail) == ["a"]
    append(spool, "b")
    (path,) = segment_paths(tmp_path)
    path.unlink()
    assert entities(tail) == ["b"]
    assert entities(tail) == []
    assert tail.places == {}


def test_an_incomplete_frame_waits_and_a_damaged_one_ends_its_file_alone(tmp_path: Path, spool: Spool) -> None:
    tail = Tail(tmp_path, "churn", {})
    append(spool, "a", "b")
    (path,) = segment_paths(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert entities(tail) == ["a"]
    path.write_bytes(whole)
    assert entities(tail) == ["b"]
    path.write_bytes(whole + b"\xff" * 100)
    append(other := Spool(tmp_path, 2**24), "c")
    assert entities(tail) == ["c"]
    other.close()


def test_answers_of_other_use_cases_and_shadow_scores_are_left_alone(tmp_path: Path, spool: Spool) -> None:
    scores = ShadowScores(1, [new_request_id()], ["u"], [-1], [0.5], [1], {})
    assert spool.append(encoder(), encode_scores(encoder().model, scores))
    append(own := Spool(tmp_path, 2**24), "a")
    assert entities(Tail(tmp_path, "another", {})) == []
    assert entities(Tail(tmp_path, "churn", {})) == ["a"]
    own.close()


def test_a_frame_is_found_again_by_its_file_and_place(tmp_path: Path, spool: Spool) -> None:
    append(spool, "a", "b")
    tail = Tail(tmp_path, "churn", {})
    _, second = tail.read()
    found = tail.at(second.segment, second.start)
    assert found
    assert found.frame.header == second.frame.header
    assert tail.at("gone", 0) is None


def read(tmp_path: Path) -> list[Rows]:
    return [Rows.of(kept) for kept in Tail(tmp_path, "churn", {}).read()]


def values_of(every: list[Rows], contract: FeatureContract = CONTRACT) -> dict[str, list[Any]]:
    places = places_of(contract, every[0].kept.describes)
    known = {name: place for name, place in places.items() if place}
    return {name: each.tolist() for name, each in columns(every, known).items()}


def test_the_values_are_those_of_the_answers_and_refusals_have_none(tmp_path: Path, spool: Spool) -> None:
    model = encoder()
    good = [
        Single(new_request_id(), None, Answer("u", prediction=0.5, decision=1), ReadValues(VALUES | changed, BY_VIEW))
        for changed in ({}, {"fee": None, "plan": None}, {"months": None, "discount": -0.5})
    ]
    refused = Single(new_request_id(), None, Answer("x", 422, "missing-features"), ReadValues(VALUES, BY_VIEW))
    spool.append(model, model.singles([*good, refused]))
    every = read(tmp_path)
    assert sum(map(len, every)) == 3
    assert values_of(every) == {
        "fee": [70.1, None, 70.1],
        "months": [2**60 + 1, 2**60 + 1, None],
        "plan": ["one, 年", None, "one, 年"],
        "senior": [1, 1, 1],
        "discount": [0.1, 0.1, -0.5],
    }


def test_of_a_batch_the_good_items_are_chosen_with_their_places(tmp_path: Path, spool: Spool) -> None:
    model, count = encoder(), 5
    read_values = ReadColumns(
        {name: np.array([value] * count) for name, value in VALUES.items()},
        {"fee": np.array([False, False, False, True, False])},
        np.zeros((count, 2), dtype=np.int64),
    )
    answers = Answers(
        [10, 11, 12, 13, 14],
        ["a", "b", "c", "d", "e"],
        [0.1, None, 0.3, 0.4, None],
        [0, None, 0, 0, None],
        {1: (404, "entity-not-found"), 4: (422, "invalid-request")},
        {},
        [0, 1, 2, 3, None],
    )
    request = new_request_id()
    spool.append(model, model.many(request, None, answers, read_values), count)
    (rows,) = read(tmp_path)
    assert rows.chosen.tolist() == [0, 2, 3]
    assert values_of([rows])["fee"] == [70.1, 70.1, None]
    scores = rows.scores([0.9, None, 0.7], [1, None, 1], "failed")
    assert (scores.requests, scores.items, scores.entities) == ([request] * 3, [10, 12, 13], ["a", "c", "d"])
    assert scores.codes == {1: "failed"}


@pytest.mark.parametrize(
    ("features", "fits"),
    [
        (FEATURES[1:3], True),
        ([*FEATURES, Feature("new", "money_fv", "Float64")], False),
        ([Feature("fee", "other_fv", "Float64")], False),
        ([Feature("fee", "money_fv", "Int64")], False),
        ([Feature("discount", "", "Float64")], True),
    ],
)
def test_a_challenger_takes_the_same_features_or_fewer(features: list[Feature], fits: bool) -> None:
    found = places_of(FeatureContract("s", "user_id", tuple(features)), encoder().record.row)
    assert (None not in found.values()) == fits
