"""Answered instances -> the bytes of a chunk, what is counted, and the lines of the answer log.

Each instance leaves a line of its own there, under the batch's request id, a colon and its place counted from 0: so
`python -m flows trace churn ID:17` goes from one user's score to the files behind it, as for an answer of /predict.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from asof.serving.answer_log import Facts, Line, answer_facts
from asof.serving.batch.forms import Form
from asof.serving.batch.instances import Instance
from asof.serving.batch.items import Answered, Item, code_of, item
from asof.serving.predictor import Prediction, Predictor
from asof.serving.problems import Occurrence


class Telling:
    """Tells one batch, chunk by chunk; `piece` may be called in a thread."""

    def __init__(self, form: Form, standard: Predictor, occurrence: Occurrence) -> None:
        """`standard` is the predictor that the answer names as the batch's."""
        self._form, self._standard, self._occurrence = form, standard, occurrence
        self._told = 0

    def piece(self, chunk: Sequence[Answered], asked: Sequence[Instance]) -> tuple[bytes, Callable[[], None]]:
        """The bytes of the answers to `asked`; and what writes their lines, to be called in the event loop."""
        items = [item(each, self._standard, self._occurrence) for each in chunk]
        worker = self._standard.worker
        for code, count in Counter(map(code_of, items)).items():
            worker.metrics.batch_users.labels(code).inc(count)
        write = worker.answer_log.batch(lambda: self._lines(chunk, asked, items))
        piece = self._form.piece(items)
        self._told += len(chunk)
        return piece, write

    def _lines(self, chunk: Sequence[Answered], asked: Sequence[Instance], items: Sequence[Item]) -> list[Line]:
        whole, first = self._occurrence.request_id, self._told
        return [
            (f"{whole}:{first + place}", each.predictor, _facts(each, request, told))
            for place, (each, request, told) in enumerate(zip(chunk, asked, items, strict=True))
        ]


def _facts(answered: Answered, request: Instance, told: Item) -> Facts:
    if isinstance(answered.outcome, Prediction):
        entity = getattr(request, answered.predictor.model.facts.contract.entity, None)
        return answer_facts(entity, answered.outcome.evidence)
    problem = told["problem"]
    return {"status": problem["status"], "code": problem["code"], "entity": problem.get("entity")}
