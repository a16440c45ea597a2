"""From nothing: one `up -d` ends with a served prediction, and a second one changes nothing."""

import httpx

from tests.containers.stack_kit import JOBS, Stack, until


def test_one_up_ends_with_a_prediction_of_the_version_in_production(stack: Stack) -> None:
    answer = stack.predict()

    assert answer.status_code == 200, answer.text
    assert 0 <= answer.json()["probability"] <= 1
    assert answer.json()["model"]["version"] == "1"
    assert stack.sql("asof", "SELECT event, version FROM promotions") == "promoted|1"


def test_every_job_is_done_and_everything_else_is_healthy(stack: Stack) -> None:
    jobs = {each: stack.inspect(each)["State"] for each in JOBS}
    assert {each: state["ExitCode"] for each, state in jobs.items()} == dict.fromkeys(JOBS, 0)
    stack.wait_until_healthy()


def test_a_request_without_a_key_or_with_one_of_another_scope_is_refused(stack: Stack) -> None:
    address, body = f"{stack.address('PREDICTION_PORT')}/predict", {"user_id": stack.users[0]}
    other = {"Authorization": f"Bearer {stack.secrets['METRICS_KEY']}"}

    assert httpx.post(address, json=body).status_code == 401
    assert httpx.post(address, json=body, headers=other).status_code == 403


def test_the_console_shows_what_is_in_production_and_what_answers_rest_on(stack: Stack) -> None:
    admin, caller = ({"Authorization": f"Bearer {stack.secrets[each]}"} for each in ("METRICS_KEY", "API_KEY"))
    with httpx.Client(base_url=stack.address("CONSOLE_PORT"), timeout=30) as console:
        assert console.get("/churn/production").status_code == 303
        production = console.get("/churn/production", headers=admin)
        assert production.status_code == 200
        assert "is in Production since" in production.text
        answered = console.post("/churn/predict", data={"user_id": stack.users[0]}, headers=caller)
        assert answered.status_code == 200
        assert "PRESENT" in answered.text
        request = stack.predict().json()["request_id"]
        trace = until(
            lambda: (page := console.get(f"/churn/trace/{request}", headers=admin)).is_success and page, "trace"
        )
        assert "No link of this chain is broken." in trace.text


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    before, counts = stack.state(), _record_counts(stack)

    stack.compose("up", "-d")

    assert stack.state() == before
    assert _record_counts(stack) == counts


def _record_counts(stack: Stack) -> dict[str, str]:
    """How much there is of everything that a job could make twice."""
    counts = {each: stack.sql("asof", f"SELECT count(*) FROM {each}") for each in ("loads", "users", "promotions")}
    for database, table in (("mlflow", "runs"), ("mlflow", "users"), ("mlflow", "model_versions")):
        counts[table] = stack.sql(database, f"SELECT count(*) FROM {table}")
    counts["deployments"] = stack.sql("prefect", "SELECT count(*) FROM deployment")
    return counts | {"prediction": str(stack.predict().json()["probability"])}
