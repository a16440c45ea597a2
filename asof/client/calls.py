"""Each call of the service without its transport: the request, and how its reply is read."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asof.client.answers import Model, OutcomeVerdict, Prediction, model_of, prediction_of
from asof.client.errors import Problem, UnexpectedAnswer, problem_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

JSON, ARROW, PROBLEM = "application/json", "application/vnd.apache.arrow.stream", "application/problem+json"
MAX_INSTANCES = 10_000
"""Of one request; a longer batch is sent as several."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Reply:
    """A response: `headers` by name in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def kind(self) -> str:
        """The media type."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, and how its reply is read."""

    method: str
    path: str
    read: Callable[[Reply], Result]
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def result(self, reply: Reply) -> Result:
        """What the reply says. Raises Problem or UnexpectedAnswer."""
        try:
            return self.read(reply)
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"The answer is of another service or version: {error!r}") from error


def predict(instance: Mapping[str, Any], request_id: str | None) -> Call[Prediction]:
    """One prediction."""

    def read(reply: Reply) -> Prediction:
        answer = _document(reply)
        kept = reply.headers.get("asof-kept", "none")
        return prediction_of(answer, model_of(answer["model"]), answer["request_id"], kept)

    return _post("/predict", instance, read, request_id)


def predict_batch(instances: Sequence[Mapping[str, Any]], request_id: str | None) -> Call[list[Prediction | Problem]]:
    """A prediction or a problem for each of at most MAX_INSTANCES instances, in order."""

    def read(reply: Reply) -> list[Prediction | Problem]:
        answer = _document(reply)
        model, own_id = model_of(answer["model"]), answer["request_id"]
        return [_outcome(item, model, own_id) for item in answer["predictions"]]

    return _post("/predict/batch", {"instances": list(instances)}, read, request_id)


def predict_table(instances: Sequence[Mapping[str, Any]], request_id: str | None) -> "Call[pa.Table]":
    """The same as a table of Arrow with a row for each instance."""

    def read(reply: Reply) -> "pa.Table":
        _require(reply, ARROW)
        import pyarrow as pa

        try:
            return pa.ipc.open_stream(reply.content).read_all()
        except pa.ArrowInvalid as error:
            raise UnexpectedAnswer(f"The answer is no complete stream of Arrow: {error}") from error

    return _post("/predict/batch", {"instances": list(instances)}, read, request_id, accept=ARROW)


def outcomes(items: Sequence[Mapping[str, Any]], request_id: str | None) -> Call[list[OutcomeVerdict]]:
    """What became of each of at most MAX_INSTANCES reported outcomes, in order."""

    def read(reply: Reply) -> list[OutcomeVerdict]:
        return [OutcomeVerdict(each["verdict"], each.get("reason")) for each in _document(reply)["outcomes"]]

    return _post("/outcomes", {"outcomes": list(items)}, read, request_id)


def model() -> Call[Mapping[str, Any]]:
    """The lineage of the served model, all that GET /model has."""
    return Call("GET", "/model", _document)


def parts(rows: Sequence[Any]) -> list[Sequence[Any]]:
    """The rows in parts of at most MAX_INSTANCES; one part, even of none."""
    return [rows[start : start + MAX_INSTANCES] for start in range(0, max(len(rows), 1), MAX_INSTANCES)]


def rows_of(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """The rows of a frame by name of its columns; what is missing is None."""
    clean = frame.astype(object).where(frame.notna(), None)  # type: ignore[call-overload]
    return [{str(name): value for name, value in row.items()} for row in clean.to_dict("records")]


def frame_of(tables: "Sequence[pa.Table]", index: Any) -> "pd.DataFrame":
    """Tables of `predict_table` as one frame with that index."""
    import pyarrow as pa

    frame: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return frame.set_axis(index, axis=0)


def _post(
    path: str, body: Any, read: Callable[[Reply], Result], request_id: str | None, accept: str = JSON
) -> Call[Result]:
    content = json.dumps(body, allow_nan=False, default=_plain).encode()
    own = {"X-Request-ID": request_id} if request_id else {}
    return Call("POST", path, read, content, {"Content-Type": JSON, "Accept": accept, **own})


def _plain(value: Any) -> Any:
    """A scalar of NumPy as Python's, anything else (a UUID, a date) as its text."""
    return value.item() if hasattr(value, "item") else str(value)


def _outcome(item: Mapping[str, Any], model: Model, request_id: str) -> Prediction | Problem:
    if "problem" in item:
        return problem_of({**item["problem"], "request_id": request_id})
    return prediction_of(item, model, request_id, "none")


def _document(reply: Reply) -> Mapping[str, Any]:
    """The object of a reply in JSON."""
    _require(reply, JSON)
    try:
        document = json.loads(reply.content)
    except ValueError as error:
        raise UnexpectedAnswer(f"The answer is no complete JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnexpectedAnswer(f"The answer is no object: {reply.content[:200]!r}")
    return document


def _require(reply: Reply, kind: str) -> None:
    """Raises the reply's Problem, or UnexpectedAnswer for another status than 200 or another media type."""
    if reply.kind == PROBLEM:
        raise _problem(reply)
    if reply.status != 200 or reply.kind != kind:
        text = f"The answer has status {reply.status} and type {reply.kind or 'none'!r}, not 200 and {kind!r}"
        raise UnexpectedAnswer(f"{text}: {reply.content[:200]!r}. Check the address of the service.")


def _problem(reply: Reply) -> Problem:
    try:
        members = json.loads(reply.content)
    except ValueError:
        members = {"detail": reply.content[:200].decode(errors="replace")}
    seconds = reply.headers.get("retry-after", "")
    after = float(seconds) if seconds.isdecimal() else None
    return problem_of({"status": reply.status, **members}, after)
