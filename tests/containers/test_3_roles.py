"""What each database role and MLflow user is refused, tried from inside the containers and from outside."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.containers.stack_kit import Stack

TRY = """
import json, os, sys, psycopg
url, outcomes = os.environ["ASOF_POSTGRES_URL"], {}
for database, statement in json.loads(sys.argv[1]):
    try:
        address = url.rpartition("/")[0] + "/" + database + "?sslmode=disable"
        with psycopg.connect(address, connect_timeout=5, autocommit=True) as connection:
            connection.execute("BEGIN READ WRITE")  # for a role whose transactions begin as READ ONLY
            connection.execute(statement)
            connection.execute("ROLLBACK")
        outcomes[statement] = "done"
    except psycopg.Error as error:
        outcomes[statement] = str(error).splitlines()[0]
print(json.dumps(outcomes))
"""
DENIED = "permission denied"
OF_SERVING = {
    'SELECT * FROM online."asof.users_fv" LIMIT 1': "done",
    "SELECT * FROM online.wide_layouts LIMIT 1": "done",
    "SELECT * FROM public.feature_views LIMIT 1": "done",
    "SELECT * FROM public.users LIMIT 1": DENIED,
    "SELECT * FROM public.labels LIMIT 1": DENIED,
    "SELECT * FROM public.promotions LIMIT 1": DENIED,
    'DELETE FROM online."asof.users_fv"': DENIED,
    "UPDATE public.feature_views SET project_id = 'x'": DENIED,
    "CREATE TABLE public.mine (a int)": DENIED,
    "CREATE SCHEMA mine": DENIED,
    "SELECT score FROM ledger.predictions LIMIT 1": DENIED,
    "INSERT INTO ledger.predictions (entity) VALUES ('x')": DENIED,
    "COPY (SELECT 1) TO PROGRAM 'true'": "must be superuser",
}
OF_INGEST = {
    "SELECT * FROM public.users LIMIT 1": "done",
    "DELETE FROM public.users": DENIED,
    "UPDATE public.labels SET created_at = now()": DENIED,
    "SELECT * FROM public.promotions": DENIED,
    "INSERT INTO public.promotions DEFAULT VALUES": DENIED,
    "DROP TABLE public.users": "must be owner",
}
OF_TRAINING = {
    "SELECT * FROM public.promotions LIMIT 1": "done",
    "INSERT INTO public.users DEFAULT VALUES": DENIED,
    "DELETE FROM public.promotions": DENIED,
    'DELETE FROM online."asof.users_fv"': DENIED,
    "UPDATE public.feature_views SET project_id = 'x'": DENIED,
}
OF_LEDGER = {
    "SELECT ledger.make_partitions(now(), now())": "done",
    "SELECT * FROM ledger.segments LIMIT 1": "done",
    "SELECT * FROM ledger.predictions LIMIT 1": DENIED,
    "UPDATE ledger.predictions SET score = 1": DENIED,
    "DELETE FROM ledger.predictions": DENIED,
    "SELECT * FROM ledger.outcomes LIMIT 1": DENIED,
    "SELECT * FROM public.users LIMIT 1": DENIED,
    'SELECT * FROM online."asof.users_fv" LIMIT 1': DENIED,
    "DROP TABLE ledger.predictions": "must be owner",
}
ELSEWHERE = ("mlflow", "prefect", "postgres")


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("prediction", OF_SERVING),
        ("worker-ingest", OF_INGEST),
        ("worker-training", OF_TRAINING),
        ("shipper", OF_LEDGER),
    ],
)
def test_a_role_does_its_work_and_is_refused_everything_else(
    stack: Stack, service: str, expected: dict[str, str]
) -> None:
    asked = [("asof", statement) for statement in expected] + [(other, f"SELECT '{other}'") for other in ELSEWHERE]
    done = stack.inside(service, "python", "-c", TRY, json.dumps(asked))
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)

    wrong = {
        statement: outcomes[statement] for statement, words in expected.items() if words not in outcomes[statement]
    }
    assert not wrong
    assert all(DENIED in outcomes[f"SELECT '{other}'"] for other in ELSEWHERE), outcomes
    stack.account[f"refused to the role of {service}"] = (
        f"{sum(each != 'done' for each in outcomes.values())} of {len(outcomes)}"
    )


@pytest.fixture(scope="module")
def mlflow(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.address("MLFLOW_UI_PORT"), timeout=30) as client:
        yield client


READS = "/api/2.0/mlflow/experiments/search?max_results=1"
WRITES = (
    ("POST", "/api/2.0/mlflow/experiments/create", {"name": "mine"}),
    ("POST", "/api/2.0/mlflow/registered-models/create", {"name": "mine"}),
    ("POST", "/api/2.0/mlflow/registered-models/alias", {"name": "streamflow_churn", "alias": "mine", "version": "1"}),
    ("DELETE", "/api/2.0/mlflow/registered-models/alias", {"name": "streamflow_churn", "alias": "production"}),
    ("POST", "/ajax-api/2.0/mlflow/runs/create", {"experiment_id": "0"}),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/mine.txt", {"a": "b"}),
    ("POST", "/api/2.0/mlflow/users/create", {"username": "mine", "password": "long enough 12"}),
    ("PATCH", "/api/2.0/mlflow/users/update-admin", {"username": "serving", "is_admin": True}),
)


def test_mlflow_answers_nobody_without_a_password(stack: Stack, mlflow: httpx.Client) -> None:
    asked = [mlflow.get(READS), mlflow.get("/"), *(mlflow.request(how, to, json=body) for how, to, body in WRITES)]
    assert {answer.status_code for answer in asked} == {401}
    assert mlflow.get(READS, auth=("serving", "wrong")).status_code == 401
    stack.account["refused by MLflow without a password"] = f"{len(asked)} of {len(asked)}"


def test_the_serving_user_may_read_and_not_write(stack: Stack, mlflow: httpx.Client) -> None:
    serving = ("serving", stack.secrets["MLFLOW_SERVING_PASSWORD"])
    assert mlflow.get(READS, auth=serving).status_code == 200
    asked = [mlflow.request(how, to, json=body, auth=serving) for how, to, body in WRITES]
    assert {answer.status_code for answer in asked} == {403}
    stack.account["refused by MLflow to its user `serving`"] = f"{len(asked)} of {len(asked)}"


def test_mlflow_refuses_a_host_name_that_is_not_its_own(stack: Stack, mlflow: httpx.Client) -> None:
    serving = ("serving", stack.secrets["MLFLOW_SERVING_PASSWORD"])
    assert mlflow.get(READS, auth=serving, headers={"Host": "mlflow.example"}).status_code == 403


def test_prefect_answers_nobody_without_its_password(stack: Stack) -> None:
    address = f"{stack.address('PREFECT_UI_PORT')}/api/flow_runs/filter"
    assert httpx.post(address, json={}).status_code == 401
    assert httpx.post(address, json={}, auth=("asof", stack.secrets["PREFECT_PASSWORD"])).status_code == 200
