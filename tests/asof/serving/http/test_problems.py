"""Every error of the tree has one status, one code and one problem document."""

import pytest

from asof import errors
from asof.serving.http.examples import NO_USE_CASE
from asof.serving.http.openapi import samples
from asof.serving.http.problems import Occurrence, describe, invalid_request, problem, problem_type_of_status

WHERE = Occurrence("/predict", "id-1")


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (errors.InvalidRequest("x"), 422, "invalid-request", None),
        (errors.EntityNotFound("x"), 404, "entity-not-found", None),
        (errors.MissingFeatures("x"), 422, "missing-features", None),
        (errors.StaleFeatures("x"), 503, "stale-features", "60"),
        (errors.FeatureStoreUnavailable("x"), 503, "feature-store-unavailable", "1"),
        (errors.FeatureContractMismatch("x"), 503, "feature-contract-mismatch", "30"),
        (errors.Overloaded("x"), 429, "overloaded", "1"),
        (errors.ModelError("secret"), 500, "internal-error", None),
    ],
)
def test_an_error_becomes_its_problem(error: errors.AsOfError, status: int, code: str, retry_after: str | None) -> None:
    document, headers = describe(error, WHERE)
    assert (document.status, document.code, document.type) == (status, code, f"urn:asof:problem:{code}")
    assert (document.instance, document.request_id) == ("/predict", "id-1")
    assert headers.get("Retry-After") == retry_after
    assert "secret" not in document.model_dump_json()


def test_every_error_that_a_request_may_meet_is_in_the_description() -> None:
    def leaves(kind: type[errors.AsOfError]) -> set[type[errors.AsOfError]]:
        return {kind}.union(*map(leaves, kind.__subclasses__()))

    served = (leaves(errors.RequestError) | leaves(errors.ServingError)) - {errors.RequestError, errors.ServingError}
    assert {type(sample) for sample in samples(NO_USE_CASE)} == served


def test_what_an_error_adds_never_replaces_the_standard_members() -> None:
    document, _ = describe(errors.EntityNotFound("x", entity="nobody", status=200, code="fine"), WHERE)
    assert document.model_dump()["entity"] == "nobody"
    assert (document.status, document.code) == (404, "entity-not-found")


def test_a_finding_names_the_place_and_the_rule_but_not_the_value() -> None:
    error = invalid_request(
        [{"type": "missing", "loc": ("body", "user_id"), "msg": "Field required", "input": "secret"}]
    )
    assert error.extra["errors"] == [{"at": "body.user_id", "rule": "Field required"}]
    assert "secret" not in str(error)


def test_text_that_is_not_json_is_reported_with_its_position() -> None:
    finding = {
        "type": "json_invalid",
        "loc": ("body", 7),
        "msg": "JSON decode error",
        "ctx": {"error": "Expecting value"},
    }
    assert invalid_request([finding]).extra["errors"] == [
        {"at": "body", "rule": "not JSON: Expecting value (at character 7)"}
    ]


def test_a_flood_of_findings_is_cut() -> None:
    error = invalid_request({"type": "extra_forbidden", "loc": ("body", "x" * 9999), "msg": "no"} for _ in range(999))
    assert len(error.extra["errors"]) == 20
    assert len(str(error)) < 5000


@pytest.mark.parametrize(("status", "code"), [(404, "not-found"), (405, "method-not-allowed"), (409, "conflict")])
def test_a_bare_status_has_a_code(status: int, code: str) -> None:
    assert problem(problem_type_of_status(status), "x", WHERE).code == code
