"""Keeps the answers of a chunk in the ledger, and says in each item how."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.types import Scope

from asof.errors import LedgerFull
from asof.inference.verdicts import Verdict
from asof.ledger.answers import Answers, Verdicts
from asof.serving.batch.instances import Instance
from asof.serving.batch.outcomes import Answered, problem_item
from asof.serving.http.boundary import occurrence
from asof.serving.ledger.keeper import Kept
from asof.serving.prediction.predictor import Prediction

KEPT = "kept"
"""The member of an item that says how it is kept (`asof.serving.ledger.keeper.Kept`)."""

Items = list[dict[str, Any]]


def keep_chunk(
    chunk: Sequence[Answered], requests: Sequence[Instance], items: Items, *, first: int, scope: Scope
) -> None:
    """Keeps the answers to `requests`, the first of which is the batch's instance `first`; blocks.

    An item that cannot be kept although that is required becomes a problem.
    """
    for predictor in dict.fromkeys(each.predictor for each in chunk):
        own, ledger = (
            [index for index, each in enumerate(chunk) if each.predictor is predictor],
            predictor.worker.ledger,
        )
        kept = Kept.NONE
        try:
            if ledger.on:
                answers = _answers(own, chunk, requests, items, first)
                read = next((chunk[index].read for index in own if chunk[index].read), None)
                kept = ledger.keep_batch(scope, predictor, answers, read)
        except LedgerFull as error:
            for index in own:
                items[index] = problem_item(error, occurrence(scope))
        for index in own:
            items[index][KEPT] = kept


def _answers(
    own: Sequence[int], chunk: Sequence[Answered], requests: Sequence[Instance], items: Items, first: int
) -> Answers:
    """The answers of the indices `own`, which are of one predictor."""
    predictor, outcomes = chunk[own[0]].predictor, [chunk[index].outcome for index in own]
    scores = [each.score if isinstance(each, Prediction) else None for each in outcomes]
    decided = iter(predictor.model.facts.output.decisions([each for each in scores if each is not None]))
    return Answers(
        [first + index for index in own],
        predictor.worker.entity_texts([requests[index] for index in own]),
        scores,
        [None if each is None else next(decided) for each in scores],
        {place: _problem(items[index]["problem"]) for place, index in enumerate(own) if "problem" in items[index]},
        {place: verdicts for place, each in enumerate(outcomes) if _is_flagged(each) and (verdicts := _verdicts(each))},
        [chunk[index].row for index in own],
    )


def _problem(members: Mapping[str, Any]) -> tuple[int, str]:
    return members["status"], members["code"]


def _is_flagged(outcome: Prediction | Exception) -> bool:
    return not isinstance(outcome, Prediction) or bool(outcome.evidence["flags"])


def _verdicts(outcome: Prediction | Exception) -> Verdicts:
    if isinstance(outcome, Prediction):
        return {flag["feature"]: Verdict(flag["verdict"]) for flag in outcome.evidence["flags"]}
    read = getattr(outcome, "read", None)
    return (read and read.verdicts) or {}
