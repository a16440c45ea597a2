"""The service's answer log, or a saved answer -> Answer: what is known of one prediction."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from asof.errors import DataError
from asof.use_case import FromStore, UseCase

ERASED = b'"erased": true'
"""In the line that `training.erasure` leaves of an answer."""
UNSUPPORTED_SUFFIXES = (".bz2", ".xz", ".zst")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of /predict, and the file that holds it. Moments are in UTC.

    `at` is None if the time of the answer is unknown, `entity` if the features came in the request; of several keys it
    has each by name. `as_of` has the oldest moment of the values by feature view, `as_of_features` the moment by
    feature, for views with several. `status` is that of HTTP, `code` that of the problem document, empty for a
    prediction. `fingerprint` is that of the model's training set, empty in the answer log.
    """

    request_id: str
    use_case: str
    at: datetime | None = None
    status: int
    code: str = ""
    entity: str | int | Mapping[str, str | int] | None
    name: str
    version: str | None
    run_id: str
    bento: str
    fingerprint: str = ""
    as_of: Mapping[str, datetime] = field(default_factory=dict)
    as_of_features: Mapping[str, datetime] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    found_in: str


def find_answers(log: Path, use_case: UseCase, request_id: str) -> list[Answer]:
    """The answers with that id in the log and its rotated files, oldest first; several if an id was used repeatedly.

    Raises DataError if there is none, or if it was erased.
    """
    answers, searched = _search(log, request_id)
    if ours := [answer for answer in answers if answer.use_case == use_case.name and answer.request_id == request_id]:
        unique = {repr(replace(answer, found_in="")): answer for answer in ours}  # a rotated file may be a copy
        return sorted(unique.values(), key=lambda answer: answer.at or datetime.min.replace(tzinfo=UTC))
    if others := [answer.use_case for answer in answers if answer.use_case != use_case.name]:
        raise DataError(f"Request {request_id} was answered by {others[0]}: name that use case.")
    if answers:
        raise DataError(f"Request {request_id} was a batch: name one of its instances, as {answers[0].request_id}.")
    where = ", ".join(searched) or f"{log}, which does not exist"
    raise DataError(
        f"No answer {request_id} of {use_case.name} is known: looked in {where}. Set ASOF_ANSWER_LOG to the log of "
        "the service that answered, or pass the answer itself: a file, or - for stdin."
    )


def _search(log: Path, request_id: str) -> tuple[list[Answer], list[str]]:
    """The answers with that id, or of a batch's instances under it; and the files searched, with their errors."""
    answers: list[Answer] = []
    searched: list[str] = []
    for path in sorted(path for path in log.parent.glob(f"{log.name}*") if path.is_file()):
        try:
            for answer in _answers(path, request_id):
                answers.append(answer)  # noqa: PERF402 - keeps those before an error in the file
            searched.append(str(path))
        except (OSError, EOFError, zlib.error) as error:
            searched.append(f"{path} (not readable to its end: {error})")
    return answers, searched


def read_answer(text: str, use_case: UseCase, found_in: str) -> Answer:
    """A saved answer of /predict. Raises DataError if the text is not one, or is of another model."""
    try:
        payload = json.loads(text)
        source = use_case.source
        entity = _entity(payload, source.extract.keys) if isinstance(source, FromStore) else None
        flags = [flag["feature"] for flag in payload["flags"]]
        answer = _answer(
            payload | {"use_case": use_case.name, "status": 200, "entity": entity, "flags": flags}, found_in
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{found_in} holds no answer of {use_case.name}'s /predict ({error!r}): save the complete answer."
        ) from None
    if answer.name != use_case.model_name:
        raise DataError(f"{found_in} is an answer of {answer.name}, not of {use_case.model_name}: name its use case.")
    return answer


def _entity(payload: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """As the service logs it."""
    members = {name: payload[name] for name in keys}
    return members if len(keys) > 1 else members[keys[0]]


def _answers(path: Path, request_id: str) -> Iterator[Answer]:
    """As `_search`, in one file. Raises OSError, EOFError or zlib.error if it cannot be read."""
    if path.suffix in UNSUPPORTED_SUFFIXES:
        raise OSError(f"{path.suffix} is not supported: decompress it first")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            _refuse_erased(line, request_id)
            if request_id.encode() in line and (answer := _parsed(line, str(path))) and _has_id(answer, request_id):
                yield answer


def _refuse_erased(line: bytes, request_id: str) -> None:
    """Raises DataError for the line that an erasure has left of this answer."""
    if ERASED in line and request_id.encode() in line and json.loads(line).get("request_id") == request_id:
        raise DataError(f"The answer to request {request_id} was erased with its entity.")


def _has_id(answer: Answer, request_id: str) -> bool:
    batch, _, instance = answer.request_id.rpartition(":")
    return answer.request_id == request_id or (batch == request_id and instance.isdecimal())


def _parsed(line: bytes, found_in: str) -> Answer | None:
    """None if the line is incomplete (the disk was full) or not an answer."""
    try:
        return _answer(json.loads(line), found_in)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _answer(payload: Mapping[str, Any], found_in: str) -> Answer:
    model = {name: value for name, value in payload["model"].items() if name != "as_of"}
    return TypeAdapter(Answer).validate_python({**payload, **model, "found_in": found_in})
