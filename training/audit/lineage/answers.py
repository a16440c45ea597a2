"""The service's answer log, or an answer that somebody saved -> Answer: what is known of one prediction."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asof.errors import DataError
from asof.use_case import FromStore, UseCase

UNKNOWN = (".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Answer:
    """One answer of /predict, and where it was found. Moments are in UTC.

    `at` is None where nothing says when it was given, `entity` where the features came in the request. `as_of` has the
    oldest moment of the values by feature view, `as_of_features` that of each feature by name, for views whose features
    differ in it. `status` and `code` are those of HTTP and of the problem document; `code` is
    empty for a prediction. `fingerprint` is that of the model's training set, empty where the answer log was asked.
    """

    request_id: str
    use_case: str
    at: datetime | None
    status: int
    code: str
    entity: str | None
    name: str
    version: str | None
    run_id: str
    bento: str
    fingerprint: str
    as_of: Mapping[str, datetime]
    as_of_features: Mapping[str, datetime]
    flags: tuple[str, ...]
    found_in: str


def find_answers(log: Path, use_case: UseCase, request_id: str) -> list[Answer]:
    """The answers of that id, the oldest first, in the log and in what logrotate made of it.

    There are several where a caller used one id more than once. Raises DataError where there is none.
    """
    found, searched = _search(log, request_id)
    if ours := [answer for answer in found if answer.use_case == use_case.name and answer.request_id == request_id]:
        once = {repr(replace(answer, found_in="")): answer for answer in ours}  # a file may have a copy
        return sorted(once.values(), key=lambda answer: answer.at or datetime.min.replace(tzinfo=UTC))
    if others := [answer.use_case for answer in found if answer.use_case != use_case.name]:
        raise DataError(f"Request {request_id} was one of {others[0]}: name that use case.")
    if found:
        raise DataError(f"Request {request_id} was a batch: name one of its instances, as {found[0].request_id}.")
    where = ", ".join(searched) or f"{log}, which is not there"
    raise DataError(
        f"No answer {request_id} of {use_case.name} is known: looked in {where}. Set ASOF_ANSWER_LOG to the file of "
        "the service that answered, or give the answer itself: a file, or - for stdin."
    )


def _search(log: Path, request_id: str) -> tuple[list[Answer], list[str]]:
    """The answers of that id and of a batch's instances under it; and the files, with what is wrong with them."""
    found: list[Answer] = []
    searched: list[str] = []
    for path in _files(log):
        try:
            for answer in _answers(path, request_id):
                found.append(answer)  # noqa: PERF402 - what was found before the file broke off is kept
            searched.append(str(path))
        except (OSError, EOFError, zlib.error) as error:
            searched.append(f"{path} (not readable to its end: {error})")
    return found, searched


def read_answer(text: str, use_case: UseCase, found_in: str) -> Answer:
    """An answer of /predict as the service gave it. Raises DataError where the text is none, or of another model."""
    try:
        told = json.loads(text)
        source = use_case.source
        entity = told[source.extract.entity] if isinstance(source, FromStore) else None
        flags = [flag["feature"] for flag in told["flags"]]
        answer = _answer(told | {"use_case": use_case.name, "status": 200, "entity": entity, "flags": flags}, found_in)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{found_in} holds no answer of {use_case.name}'s /predict ({error!r}): save one whole."
        ) from None
    if answer.name != use_case.model_name:
        raise DataError(f"{found_in} is an answer of {answer.name}, not of {use_case.model_name}: name its use case.")
    return answer


def _answers(path: Path, request_id: str) -> Iterator[Answer]:
    """The answers in one file of that id, or of a batch's instances under it.

    Raises OSError, EOFError or zlib.error where it cannot be read.
    """
    if path.suffix in UNKNOWN:
        raise OSError(f"{path.suffix} is not unpacked here")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            if request_id.encode() in line and (found := _parsed(line, str(path))) and _is_of(found, request_id):
                yield found


def _is_of(answer: Answer, request_id: str) -> bool:
    whole, _, place = answer.request_id.rpartition(":")
    return answer.request_id == request_id or (whole == request_id and place.isdecimal())


def _files(log: Path) -> list[Path]:
    return sorted(path for path in log.parent.glob(f"{log.name}*") if path.is_file())


def _parsed(line: bytes, found_in: str) -> Answer | None:
    """None: half a line, of a disk that was full, or one that somebody else wrote."""
    try:
        return _answer(json.loads(line), found_in)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _answer(told: Mapping[str, Any], found_in: str) -> Answer:
    model = told["model"]
    return Answer(
        request_id=told["request_id"],
        use_case=told["use_case"],
        at=datetime.fromisoformat(told["at"]) if "at" in told else None,
        status=told["status"],
        code=told.get("code", ""),
        entity=told["entity"],
        name=model["name"],
        version=model["version"],
        run_id=model["run_id"],
        bento=model["bento"],
        fingerprint=model.get("fingerprint", ""),
        as_of=_moments(told, "as_of"),
        as_of_features=_moments(told, "as_of_features"),
        flags=tuple(told["flags"]) if "flags" in told else (),
        found_in=found_in,
    )


def _moments(told: Mapping[str, Any], name: str) -> dict[str, datetime]:
    return {of: datetime.fromisoformat(moment) for of, moment in (told.get(name) or {}).items()}
