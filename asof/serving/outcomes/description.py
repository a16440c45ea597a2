"""The request and response types of POST /outcomes, for the OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from asof.errors import InvalidRequest, LedgerUnavailable, Overloaded, TooManyInstances
from asof.ledger.outcomes.record import Verdict
from asof.ledger.outcomes.report import item_type
from asof.serving.batch.instances import MAX_INSTANCES
from asof.serving.http import openapi
from asof.serving.http.examples import REQUEST_ID, examples
from asof.serving.http.problems import BODY_STATUSES
from asof.use_case import UseCase


class OutcomeAnswer(BaseModel):
    """What became of one item."""

    verdict: Verdict = Field(
        description="accepted or corrected: a row was added; unchanged: the ledger has it; unknown: it has no answer "
        "for the entity or request; rejected."
    )
    reason: str | None = Field(None, description="Of unknown and rejected.")


class OutcomesAnswer(BaseModel):
    """The answer to a request, which was kept as a whole."""

    request_id: str
    accepted: int = Field(description="The number of items with this verdict; the others likewise.")
    unchanged: int
    corrected: int
    unknown: int
    rejected: int
    outcomes: list[OutcomeAnswer] = Field(description="In the order of the items.")


def outcomes_type(use_case: UseCase) -> type[BaseModel]:
    """The request: an item may be any JSON value, and is judged by itself."""
    other = Annotated[Any, Field(description="Anything else is rejected by itself.")]
    items: Any = list[item_type(use_case) | other]  # type: ignore[misc]
    field = Field(min_length=1, description=f"At most {MAX_INSTANCES} (413).")
    return create_model("Outcomes", __config__=ConfigDict(extra="forbid"), outcomes=(items, field))


def responses(path: str, use_case: UseCase) -> dict[int | str, dict[str, Any]]:
    """The responses with an example of each."""
    counts = {**dict.fromkeys(Verdict, 0), Verdict.ACCEPTED: 1, Verdict.UNKNOWN: 1}
    unknown = {"verdict": Verdict.UNKNOWN, "reason": "the ledger has no answer for this entity"}
    answers = [{"verdict": Verdict.ACCEPTED}, unknown]
    success: dict[str, Any] = {
        "content": {"application/json": {"example": {"request_id": REQUEST_ID, **counts, "outcomes": answers}}}
    }
    errors = (InvalidRequest, TooManyInstances, Overloaded, LedgerUnavailable, *BODY_STATUSES)
    return {200: success, **openapi.responses(path, *errors, shown=examples(use_case))}
