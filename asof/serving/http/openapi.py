"""The OpenAPI document of a service; examples of problems are made by the table that makes the real ones."""

import importlib
import inspect
from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from asof import errors, use_cases
from asof.errors import NOT_KEPT, AsOfError
from asof.serving.http.concurrency_limit import AT_CAPACITY
from asof.serving.http.examples import NO_USE_CASE, REQUEST_ID, Examples, examples
from asof.serving.http.problems import BY_STATUS, MEDIA_TYPE, Occurrence, Problem, describe, problem
from asof.use_case import UseCase

MISSING_BODY = {"at": "body", "rule": "Field required"}


def samples(shown: Examples) -> tuple[AsOfError, ...]:
    """One error of each type that a request may cause."""
    entity, missing, stale = shown.entity, shown.named("NULL"), shown.stale
    return (
        errors.Unauthenticated("Send one header `Authorization: Bearer KEY` with a key of this service."),
        errors.Forbidden("/model requires a key with the scope admin, which crm lacks.", scope="admin"),
        errors.InvalidRequest("body: Field required. See /docs.json for the schema.", errors=[MISSING_BODY]),
        errors.TooManyInstances(
            "The batch holds 12000 instances: send at most 10000 at once.", limit=10_000, instances=12_000
        ),
        errors.EntityNotFound(f"No feature view knows {entity!r}: check the id, or load it.", entity=entity),
        errors.ModelNotFound(f"This service serves {shown.model_name} 3: ask for that, or for no version."),
        errors.MissingFeatures(
            f"{entity!r} is known, but {shown.feature} is null.", entity=entity, missing_features=[missing]
        ),
        errors.PredictionOutOfRange(
            "The model predicts -3.0 hours, and only 0 to 720 is possible: check the features."
        ),
        errors.ExplanationUnavailable(
            f"Version 3 of {shown.model_name} (estimator default) has no exact explanation: ask without explain."
        ),
        errors.ExplanationTooSlow("The explanation takes longer than this service allows: ask without explain."),
        errors.StaleFeatures(f"{shown.feature} is older than its view allows.", entity=entity, stale_features=[stale]),
        errors.FeatureContractMismatch(
            f"Feature service {shown.feature_service!r} is not what the model was trained on.", difference="..."
        ),
        errors.FeatureStoreUnavailable("The online store did not answer within 1.5 s: try again."),
        errors.LedgerUnavailable("The ledger's database does not answer: send the outcomes again; none was kept."),
        errors.NotReady("The production version is not known yet; retry shortly."),
        errors.LedgerFull(NOT_KEPT),
        errors.Overloaded(AT_CAPACITY),
        errors.TooManyRequests("crm exceeds its request rate; retry after the given delay.", retry_after=1),
    )


def responses(
    path: str, *kinds: type[AsOfError] | int, shown: Examples = NO_USE_CASE
) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's responses by status, with an example of each error or bare status in `kinds`, and of a 500."""
    where = Occurrence(path, REQUEST_ID)
    ours = [describe(sample, where)[0] for sample in samples(shown) if type(sample) in kinds]
    bare = [problem(BY_STATUS[status], "...", where) for status in (*kinds, 500) if isinstance(status, int)]
    by_status: defaultdict[int, list[Problem]] = defaultdict(list)
    for document in ours + bare:
        by_status[document.status].append(document)
    return {status: _response(documents) for status, documents in sorted(by_status.items())}


def problem_example(kind: type[AsOfError], use_case: UseCase) -> Problem:
    """The document of an error of that type that a request of this use case may cause."""
    (error,) = (sample for sample in samples(examples(use_case)) if type(sample) is kind)
    return describe(error, Occurrence("", REQUEST_ID))[0]


def document(app: FastAPI, use_case: UseCase, version: str) -> dict[str, Any]:
    """The OpenAPI document of a service: its own paths, and those that BentoML adds for probes and metrics.

    BentoML's own document would show the README of the repository and BentoML's contacts.
    """
    about = inspect.getdoc(importlib.import_module(f"{use_cases.__name__}.{use_case.name}")) or use_case.title
    about += f"\n\nUse case `{use_case.name}`, model `{use_case.model_name}`; GET /model returns its lineage."
    described = get_openapi(title=use_case.title, version=version, description=about, routes=app.routes)
    probes = {
        "/livez": _probe("Is the process alive?"),
        "/healthz": _probe("The former name of /livez."),
        "/readyz": _probe("Can it predict now?", {"503": responses("/readyz", 503)[503]}),
        "/metrics": _probe("Metrics for Prometheus."),
    }
    return {**described, "servers": [{"url": "."}], "paths": described["paths"] | probes}


def _probe(summary: str, others: dict[str, Any] | None = None) -> dict[str, Any]:
    success = {"description": "Successful Response", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"get": {"summary": summary, "responses": {"200": success, **(others or {})}}}


def _response(documents: list[Problem]) -> dict[str, Any]:
    shown = {one.code: {"summary": one.title, "value": one.model_dump(exclude_none=True)} for one in documents}
    content = {"schema": Problem.model_json_schema(), "examples": shown}
    return {"description": "; ".join(one.title for one in documents), "content": {MEDIA_TYPE: content}}
