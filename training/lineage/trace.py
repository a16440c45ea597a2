"""What somebody asks about, a version or an answer -> its chain. The one door of this folder."""

from collections.abc import Iterator
from dataclasses import dataclass

from asof.errors import ModelError, TrainingSetError
from asof.settings import Settings
from asof.use_case import UseCase
from training.lineage.answers import Answer, find_answer
from training.lineage.values import ValueOrigin, value_origins
from training.lineage.version import VersionChain, version_chain
from training.logged_model import of_run, of_version
from training.point_in_time import read_sources
from training.register import model_version


@dataclass(frozen=True)
class AnswerChain:
    """An answer, the origin of each of its values, and the whole chain of the model that gave it.

    `values` is empty where the features came in the request, or where nothing was predicted. `broken` says in sentences
    which links do not hold, the model's among them.
    """

    answer: Answer
    values: tuple[ValueOrigin, ...]
    model: VersionChain
    broken: tuple[str, ...]


def trace_version(settings: Settings, use_case: UseCase, version: str) -> VersionChain:
    """The chain of a registered version. Raises ModelError where there is none."""
    return version_chain(settings, use_case, of_version(model_version(settings, use_case, version)))


def trace_request(settings: Settings, use_case: UseCase, request_id: str) -> AnswerChain:
    """The chain of an answer that the service logged. Raises DataError where the log does not know it."""
    return trace_answer(settings, use_case, find_answer(settings.answers, use_case, request_id))


def trace_answer(settings: Settings, use_case: UseCase, answer: Answer) -> AnswerChain:
    """The chain of an answer. The model is found by its run, which names its very bytes; its number comes second.

    Raises ModelError where MLflow does not know the run, or where the service had no model.
    """
    if not answer.run_id:
        raise ModelError(f"{answer.request_id} got a {answer.status} ({answer.code}): the service had no model yet.")
    model = version_chain(settings, use_case, of_run(settings, use_case, answer.run_id))
    values, trouble = _values(settings, answer, model.training_set.feature_service)
    broken = (*_contradictions(answer, model), *trouble, *(each.broken for each in values if each.broken))
    return AnswerChain(answer, values, model, broken=(*broken, *model.broken))


def _values(settings: Settings, answer: Answer, service: str) -> tuple[tuple[ValueOrigin, ...], tuple[str, ...]]:
    if not answer.as_of:
        return (), ()
    try:
        _, sources = read_sources(settings, service)
    except TrainingSetError as error:
        return (), (str(error),)
    return value_origins(settings, answer, sources), ()


def _contradictions(answer: Answer, model: VersionChain) -> Iterator[str]:
    if answer.version != model.version:
        yield f"The answer names version {answer.version}, and MLflow has its run as version {model.version}."
    if answer.fingerprint not in ("", model.training_set.fingerprint):
        yield f"The answer names the training set {answer.fingerprint}: it is not that of its model."
