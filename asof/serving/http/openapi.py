"""The OpenAPI document of a service; the problems of each address have examples that the real table makes."""

import importlib
import inspect
from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from asof import use_cases
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
from asof.serving.http.concurrency_limit import TEXT
from asof.serving.http.examples import NO_USE_CASE, REQUEST_ID, Examples, examples
from asof.serving.http.problems import BY_STATUS, MEDIA_TYPE, Kind, Occurrence, Problem, describe, kind_of, problem
from asof.use_case import UseCase

MISSING_BODY = {"at": "body", "rule": "Field required"}


def samples(shown: Examples) -> tuple[AsOfError, ...]:
    """One error of each kind that a request may meet."""
    entity, missing, untimely = shown.entity, shown.named("NULL"), shown.untimely
    return (
        Unauthenticated("Send one header `Authorization: Bearer KEY`, with a key of this service."),
        Forbidden("/model takes a key of scope admin, and crm has none.", scope="admin"),
        InvalidRequest("body: Field required. See /docs.json for what is taken.", errors=[MISSING_BODY]),
        TooManyInstances(
            "The batch holds 12000 instances: send at most 10000 at once.", limit=10_000, instances=12_000
        ),
        EntityNotFound(f"No feature view knows {entity!r}: check the id, or load it.", entity=entity),
        MissingFeatures(
            f"{entity!r} is known, but {shown.feature} is null.", entity=entity, missing_features=[missing]
        ),
        StaleFeatures(f"{shown.feature} is older than its view allows.", entity=entity, stale_features=[untimely]),
        FeatureContractMismatch(
            f"Feature service {shown.feature_service!r} is not what the model was trained on.", difference="..."
        ),
        FeatureStoreUnavailable("The online store did not answer within 1.5 s: try again."),
        NotReady("The version in Production is not known yet: try again."),
        Overloaded(TEXT),
        TooManyRequests("crm asks more often than a key may: try again later.", retry_after=1),
    )


def responses(
    path: str, *kinds: type[AsOfError] | int, shown: Examples = NO_USE_CASE
) -> dict[int | str, dict[str, Any]]:
    """For each status: a problem document, with one example for each kind of problem."""
    where = Occurrence(path, REQUEST_ID)
    ours = [(kind_of(sample), describe(sample, where)[0]) for sample in samples(shown) if type(sample) in kinds]
    statuses = [kind for kind in (*kinds, 500) if isinstance(kind, int)]
    bare = [(BY_STATUS[status], problem(BY_STATUS[status], "...", where)) for status in statuses]
    grouped: defaultdict[int, list[tuple[Kind, Problem]]] = defaultdict(list)
    for kind, document in ours + bare:
        grouped[kind.status].append((kind, document))
    return {status: _response(documents) for status, documents in sorted(grouped.items())}


def problem_example(kind: type[AsOfError], use_case: UseCase) -> Problem:
    """The document of an error that a request of this use case may meet."""
    (error,) = (sample for sample in samples(examples(use_case)) if type(sample) is kind)
    return describe(error, Occurrence("", REQUEST_ID))[0]


def document(app: FastAPI, use_case: UseCase, version: str) -> dict[str, Any]:
    """The OpenAPI document of a service: its own addresses, and those that BentoML adds for machines.

    BentoML's own document shows the README of the repository, and contacts of BentoML.
    """
    described = get_openapi(
        title=use_case.title, version=version, description=_description(use_case), routes=app.routes
    )
    return {**described, "servers": [{"url": "."}], "paths": described["paths"] | _of_machines()}


def _description(use_case: UseCase) -> str:
    said = inspect.getdoc(importlib.import_module(f"{use_cases.__name__}.{use_case.name}")) or use_case.title
    return f"{said}\n\nUse case `{use_case.name}`, model `{use_case.model_name}`; GET /model says where it comes from."


def _of_machines() -> dict[str, Any]:
    unready = {"503": responses("/readyz", 503)[503]}
    return {
        "/livez": _probe("Is the process alive?"),
        "/healthz": _probe("As /livez, under an older name."),
        "/readyz": _probe("Can it predict now?", unready),
        "/metrics": _probe("Metrics for Prometheus."),
    }


def _probe(summary: str, others: dict[str, Any] | None = None) -> dict[str, Any]:
    success = {"description": "Successful Response", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"get": {"summary": summary, "responses": {"200": success, **(others or {})}}}


def _response(documents: list[tuple[Kind, Problem]]) -> dict[str, Any]:
    examples = {
        kind.code: {"summary": kind.title, "value": document.model_dump(exclude_none=True)}
        for kind, document in documents
    }
    content = {"schema": Problem.model_json_schema(), "examples": examples}
    return {"description": "; ".join(kind.title for kind, _ in documents), "content": {MEDIA_TYPE: content}}
