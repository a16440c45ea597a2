"""For tests of answers: problem documents, and the problems that the description of an operation shows."""

from collections.abc import Mapping
from typing import Any

import httpx

OF_EVERY_PREDICTION = {
    "invalid-request",
    "not-ready",
    "overloaded",
    "body-too-slow",
    "body-too-large",
    "unsupported-media-type",
    "not-implemented",
    "internal-error",
}
"""The codes of problems that POST /predict and POST /predict/batch describe for each use case."""
OF_ONE_PREDICTION = {"ledger-full", "explanation-unavailable", "explanation-too-slow"}
"""Those of POST /predict alone."""
OF_THE_STORE = {"feature-contract-mismatch", "feature-store-unavailable"}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document, checked for what every problem has."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:asof:problem:{code}"
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["title"]
    assert "Traceback" not in response.text
    return document


def problem_at(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The same, where the client knows which path it has requested."""
    document = problem(response, status, code)
    assert document["instance"] == response.request.url.path
    return document


def described_problems(operation: Mapping[str, Any]) -> set[str]:
    """The codes of the examples in an operation of /docs.json."""
    contents = (response["content"] for response in operation["responses"].values())
    return {code for each in contents for code in each.get("application/problem+json", {}).get("examples", {})}
