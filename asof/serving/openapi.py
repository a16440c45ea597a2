"""Which problems an address may answer with -> FastAPI's `responses`, each with an example made by the real table."""

from collections import defaultdict
from typing import Any

from asof.errors import (
    AsOfError,
    EntityNotFound,
    FeatureContractMismatch,
    FeatureStoreUnavailable,
    Forbidden,
    InvalidRequest,
    MissingFeatures,
    NotReady,
    Overloaded,
    StaleFeatures,
    TooManyInstances,
    TooManyRequests,
    Unauthenticated,
)
from asof.serving.places import TEXT
from asof.serving.problems import BY_STATUS, MEDIA_TYPE, Kind, Occurrence, Problem, describe, kind_of, problem

UNTIMELY = {
    "feature": "monthly_fee",
    "view": "subs_profile_fv",
    "verdict": "STALE",
    "age_days": 61.5,
    "max_age_days": 45,
}
MISSING = {"feature": "monthly_fee", "view": "subs_profile_fv", "verdict": "NULL"}

SAMPLES: tuple[AsOfError, ...] = (
    Unauthenticated("Send one header `Authorization: Bearer KEY`, with a key of this service."),
    Forbidden("/model takes a key of scope admin, and crm has none.", scope="admin"),
    InvalidRequest("body.user_id: Field required.", errors=[{"at": "body.user_id", "rule": "Field required"}]),
    TooManyInstances("The batch holds 12000 instances: send at most 10000 at once.", limit=10_000, instances=12_000),
    EntityNotFound("No feature view knows 'nobody': check the id, or load it.", entity="nobody"),
    MissingFeatures("'7590-VHVEG' is known, but monthly_fee is null.", entity="7590-VHVEG", missing_features=[MISSING]),
    StaleFeatures("monthly_fee is older than its view allows.", entity="7590-VHVEG", stale_features=[UNTIMELY]),
    FeatureContractMismatch("Feature service 'churn_v2' is not what the model was trained on.", difference="..."),
    FeatureStoreUnavailable("The online store did not answer within 1.5 s: try again."),
    NotReady("Nobody has said yet which model is in Production: try again."),
    Overloaded(TEXT),
    TooManyRequests("crm asks more often than a key may: try again later.", retry_after=1),
)


def responses(path: str, *kinds: type[AsOfError] | int) -> dict[int | str, dict[str, Any]]:
    """For each status: a problem document, with one example for each kind of problem."""
    where = Occurrence(path, "8c5f2a")
    samples = [(kind_of(sample), describe(sample, where)[0]) for sample in SAMPLES if type(sample) in kinds]
    statuses = [kind for kind in (*kinds, 500) if isinstance(kind, int)]
    bare = [(BY_STATUS[status], problem(BY_STATUS[status], "...", where)) for status in statuses]
    grouped: defaultdict[int, list[tuple[Kind, Problem]]] = defaultdict(list)
    for kind, document in samples + bare:
        grouped[kind.status].append((kind, document))
    return {status: _response(documents) for status, documents in sorted(grouped.items())}


def _response(documents: list[tuple[Kind, Problem]]) -> dict[str, Any]:
    examples = {
        kind.code: {"summary": kind.title, "value": document.model_dump(exclude_none=True)}
        for kind, document in documents
    }
    content = {"schema": Problem.model_json_schema(), "examples": examples}
    return {"description": "; ".join(kind.title for kind, _ in documents), "content": {MEDIA_TYPE: content}}
