"""A challenger whose process ends in a call: each answer that it had read is counted once."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from asof.features.feature_contract import FeatureContract
from asof.ledger.request_id import new_request_id
from asof.ledger.spool.segments import segment_paths
from asof.ledger.spool.writer import Spool
from asof.serving.following.mlflow_registry import ProductionVersion
from asof.serving.shadow.challenger import Challenger
from asof.serving.shadow.scorer import Scorer
from asof.serving.shadow.state import State
from asof.serving.shadow.tail import Tail
from asof.settings import Settings
from tests.kits.service.ledger import FEATURES, encoder, one

CALL = 25
"""Rows of the first call."""


class Ended(BaseException):
    """The process ends."""


def _end(*_: Any) -> NoReturn:
    raise Ended


def state_at_the_end(settings: Settings, monkeypatch: pytest.MonkeyPatch, answers: int) -> State:
    """What was saved last by a process that ended in the first call, with so many answers in the spool."""
    spool, model = Spool(settings.ledger_folder, 2**24), encoder()
    for _ in range(answers):
        assert spool.append(model, one(model, new_request_id()))
    facts: Any = SimpleNamespace(facts=SimpleNamespace(contract=FeatureContract("s", "user_id", FEATURES)))
    challenger = Challenger(ProductionVersion(version="2", run_id="run-2"), facts, encoder("2"))
    state, saved = State(), list[State]()
    scorer = Scorer(settings, state, slow=1, save=lambda: saved.append(copy.deepcopy(state)))
    monkeypatch.setattr(scorer, "_predictions", _end)
    with pytest.raises(Ended):
        scorer.score(Tail(settings.ledger_folder, "churn", {}).read(), challenger)
    return saved[-1]


@pytest.mark.parametrize("shipped", [False, True])
def test_answers_of_the_call_have_failed_and_those_that_waited_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: bool
) -> None:
    settings = Settings(ledger_spool=tmp_path, shadow_share=1)
    state = state_at_the_end(settings, monkeypatch, CALL + 15)
    for path in segment_paths(tmp_path) if shipped else []:
        path.unlink()
    Scorer(settings, state, slow=1, save=lambda: None).recover(Tail(tmp_path, "churn", {}))
    assert (state.scored, state.failed, state.dropped) == (0, CALL, {"paused": 15})
    assert (state.claimed, state.waiting) == ([], 0)
