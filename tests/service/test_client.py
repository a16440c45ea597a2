"""The client against the built Bento over a socket."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import bentoml
import bentoml.exceptions
import httpx
import numpy as np
import pandas as pd
import pytest

from asof.client import (
    AsyncClient,
    Client,
    EntityNotFound,
    InvalidRequest,
    MissingFeatures,
    NotFound,
    Prediction,
    Problem,
    StaleFeatures,
    TooManyInstances,
)
from tests.kits.service import serving as kit
from tests.kits.service.churn_service import MANY, ChurnService

PROBLEMS: dict[str, type[Problem]] = {
    "nobody": EntityNotFound,
    "null-fee": MissingFeatures,
    "only-users": MissingFeatures,
    "old-usage": StaleFeatures,
    "": InvalidRequest,
}


@pytest.fixture(scope="module")
def http(churn_service: ChurnService) -> httpx.Client:
    return churn_service.client


@pytest.fixture(scope="module")
def client(http: httpx.Client) -> Iterator[Client]:
    with Client(str(http.base_url)) as client:
        yield client


def test_a_prediction_has_all_that_the_service_says(client: Client, http: httpx.Client) -> None:
    made = client.predict({"user_id": "old-support"}, request_id="mine-1")
    answer = http.post("/predict", json={"user_id": "old-support"}).json()
    assert made.values == {name: answer[name] for name in ("user_id", "probability", "churn", "threshold")}
    assert made["probability"] == answer["probability"]
    assert (made.model.name, made.model.version) == (kit.NAME, answer["model"]["version"])
    assert made.model.as_of == datetime(2026, 2, 28, tzinfo=UTC)
    assert made.as_of["users_fv"] == datetime(2026, 3, 21, tzinfo=UTC)
    assert [flag["verdict"] for flag in made.flags] == ["STALE"]
    assert (made.request_id, made.kept) == ("mine-1", "process")


@pytest.mark.parametrize("user", PROBLEMS)
def test_a_problem_is_raised(client: Client, user: str) -> None:
    with pytest.raises(PROBLEMS[user]) as caught:
        client.predict({"user_id": user})
    assert caught.value.request_id


def test_a_batch_has_a_prediction_or_a_problem_for_each_instance(client: Client) -> None:
    users = ["good", *PROBLEMS, *MANY] * 9
    made = client.predict_batch([{"user_id": user} for user in users])
    assert len(users) > 10_000
    for user, each in zip(users, made, strict=True):
        if isinstance(each, Prediction):
            assert (each["user_id"], each.kept) == (user, "process")
        else:
            assert type(each) is PROBLEMS[user]


def test_a_frame_comes_back_with_its_index(client: Client) -> None:
    users = ["good", "nobody", None, *MANY]
    frame = pd.DataFrame({"user_id": users}, index=[f"row {number}" for number in range(len(users))])
    answers = client.predict_frame(frame)
    assert answers.index.equals(frame.index)
    assert answers["code"].tolist()[:4] == [None, "entity-not-found", "invalid-request", None]
    singles = [client.predict({"user_id": user})["probability"] for user in ("good", users[3])]
    assert answers["probability"].iloc[[0, 3]].tolist() == pytest.approx(singles, abs=1e-12)
    assert np.isnan(answers["probability"].iloc[1])


def test_more_than_a_batch_may_have_is_refused_where_it_is_not_split(client: Client) -> None:
    with pytest.raises(TooManyInstances) as caught:
        client.predict_table([{"user_id": "good"}] * 10_001)
    assert caught.value.members["limit"] == 10_000


def test_the_asynchronous_client_does_the_same(client: Client, http: httpx.Client) -> None:
    async def ask() -> None:
        async with AsyncClient(str(http.base_url)) as own:
            one, many = await asyncio.gather(
                own.predict({"user_id": "good"}), own.predict_batch([{"user_id": "good"}, {"user_id": "nobody"}])
            )
            assert one.values == client.predict({"user_id": "good"}).values
            assert [type(each) for each in many] == [Prediction, EntityNotFound]
            frame = await own.predict_frame(pd.DataFrame({"user_id": ["good"]}))
            assert frame["probability"].tolist() == [one["probability"]]
            assert await own.model() == client.model()
            with pytest.raises(StaleFeatures) as caught:
                await own.predict({"user_id": "old-usage"})
            assert caught.value.retry_after == 60

    asyncio.run(ask())


def test_outcomes_are_reported_and_judged(client: Client) -> None:
    report = {"entity": "nobody-knows", "as_of": "2026-03-21", "outcome": True, "observed_at": "2026-03-25"}
    verdicts = client.outcomes([report, {}])
    assert [each.verdict for each in verdicts] == ["unknown", "rejected"]
    assert all(each.reason for each in verdicts)


def test_the_lineage_of_the_model_is_read(client: Client, http: httpx.Client) -> None:
    assert client.model() == http.get("/model").json()


def test_an_address_below_the_service_is_a_problem(http: httpx.Client) -> None:
    with Client(f"{http.base_url}/below") as client, pytest.raises(NotFound):
        client.predict({"user_id": "good"})


def test_bentomls_own_client_predicts(http: httpx.Client, client: Client) -> None:
    with bentoml.SyncHTTPClient(str(http.base_url)) as bento:
        assert set(bento.endpoints) == {"predict", "predict_batch", "post_outcomes"}
        assert bento.predict(user_id="good")["probability"] == client.predict({"user_id": "good"})["probability"]
        many = bento.predict_batch(instances=[{"user_id": "good"}, {"user_id": "nobody"}])["predictions"]
        assert many[1]["problem"]["code"] == "entity-not-found"
        with pytest.raises(bentoml.exceptions.BentoMLException, match="nobody"):
            bento.predict(user_id="nobody")
        bento._temp_dir.cleanup()  # which its close leaves to the garbage collector
