"""A version or an answer -> its lineage. The entry point of this folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from asof.errors import ModelError, TrainingSetError
from asof.settings import Settings
from asof.use_case import UseCase
from training.audit.lineage.answers import Answer, find_answers
from training.audit.lineage.values import ValueOrigin, value_origins
from training.audit.lineage.version import VersionChain, version_chain
from training.features.datasets.point_in_time import read_sources
from training.release.registry.logged_model import of_run
from training.release.registry.versions import model_version

Models = Callable[[str], VersionChain]
"""From a run's id to the lineage of its model."""


@dataclass(frozen=True)
class AnswerChain:
    """An answer, the origin of each of its values, and the lineage of its model.

    `values` is empty if the features came in the request, or none were read; `model` is None if there was none
    or MLflow does not know it. `broken` has one sentence for each broken link, those of the model included.
    """

    answer: Answer
    values: tuple[ValueOrigin, ...]
    model: VersionChain | None
    broken: tuple[str, ...]


@dataclass(frozen=True)
class AnswerChains:
    """Several answers with one request id, oldest first; `broken` has the broken links of all."""

    request_id: str
    answers: tuple[AnswerChain, ...]
    broken: tuple[str, ...]


def trace_version(settings: Settings, use_case: UseCase, version: str) -> VersionChain:
    """The lineage of a registered version. Raises ModelError if there is none."""
    return version_chain(settings, use_case, model_version(settings, use_case, version))


def trace_request(settings: Settings, use_case: UseCase, request_id: str) -> AnswerChain | AnswerChains:
    """The lineage of a kept answer, or of all if the id was used repeatedly.

    Raises DataError if the ledger does not have it, and for a single answer as `trace_answer` does.
    """
    answers, models = find_answers(settings, use_case, request_id), _models(settings, use_case)
    if len(answers) == 1:
        return _trace(settings, answers[0], models)
    chains = tuple(_trace_or_report(settings, answer, models) for answer in answers)
    return AnswerChains(request_id, chains, tuple(dict.fromkeys(broken for each in chains for broken in each.broken)))


def trace_answer(settings: Settings, use_case: UseCase, answer: Answer) -> AnswerChain:
    """The lineage of an answer. The model is identified by its run, not by its version number.

    Raises ModelError if MLflow does not know the run, or the service had no model.
    """
    return _trace(settings, answer, _models(settings, use_case))


def _models(settings: Settings, use_case: UseCase) -> Models:
    return cache(lambda run_id: version_chain(settings, use_case, of_run(settings, use_case, run_id)))


def _trace(settings: Settings, answer: Answer, models: Models) -> AnswerChain:
    if not answer.run_id:
        raise ModelError(f"{answer.request_id} got a {answer.status} ({answer.code}): the service had no model yet.")
    model = models(answer.run_id)
    values, errors = _values(settings, answer, model.training_set.feature_service)
    broken = (*_contradictions(answer, model), *errors, *(each.broken for each in values if each.broken))
    return AnswerChain(answer, values, model, broken=(*broken, *model.broken))


def _trace_or_report(settings: Settings, answer: Answer, models: Models) -> AnswerChain:
    try:
        return _trace(settings, answer, models)
    except ModelError as error:
        return AnswerChain(answer, (), None, broken=(str(error),))


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
        yield f"The answer names version {answer.version}, but in MLflow its run is version {model.version}."
    if answer.fingerprint not in ("", model.training_set.fingerprint):
        yield f"The answer names the training set {answer.fingerprint}, which is not that of its model."
