"""Answers of the service, computed again from the ledger: the same bits, or the part that is gone or differs."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from asof.errors import ModelError
from asof.features.feature_contract import FeatureContract
from asof.inference.verdicts import Verdict
from asof.ledger.reading.find import Selection, reading_ledger
from asof.ledger.reading.kept_answer import KeptAnswer, answer_as_json
from asof.settings import Settings, export
from asof.use_case import UseCase
from asof.use_cases import load
from asof.use_cases.breast_cancer.data import CONTRACT, EXAMPLE
from tests.kits.machine.databases import copy_features
from tests.kits.machine.terminal import call_flows
from tests.kits.models.published import publish
from tests.kits.models.training import set_of_any
from tests.kits.service import serving as kit
from tests.kits.service.application import application
from tests.kits.service.ledger import ship
from tests.kits.service.serving import NOW
from tests.kits.service.small_model import Registered
from training.audit.replay.replay import Outcome, Replay, Replayed, replay
from training.audit.replay.what_if import what_if
from training.release.registry.versions import ModelVersion
from training.tracking.client import open_tracking

CHURN, CANCER = load("churn"), load("breast_cancer")
SINGLE, BATCH = 47, 120


def model(last: Any, contract: FeatureContract) -> Any:
    """Scaled numbers and encoded categories before a classifier."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encode = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    categories = ("categories", encode, contract.categories)
    return make_pipeline(ColumnTransformer([categories], remainder=StandardScaler()), last)


def models(contract: FeatureContract) -> list[Any]:
    """Sums, trees, and other sums: the last is not to be compiled."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    trees = RandomForestClassifier(10, max_depth=6, random_state=0)
    return [model(each, contract) for each in (LogisticRegression(), trees, LogisticRegression(C=0.01))]


@dataclass(frozen=True)
class Answered:
    """A use case with three versions, each of which has given SINGLE + BATCH answers, which are in the ledger."""

    settings: Settings
    use_case: UseCase
    versions: Sequence[ModelVersion]

    def answers(self, version: int | None = None) -> list[KeptAnswer]:
        with reading_ledger(self.settings, self.use_case.name) as ledger:
            every = ledger.find(Selection(scored=True), 10_000)
        numbers = [each.version for each in self.versions[slice(version, None if version is None else version + 1)]]
        return [each for each in every if each.model.version in numbers]

    def replay(self, answers: Sequence[KeptAnswer]) -> Replay:
        return replay(self.settings, self.use_case, answers)

    def one(self, answer: KeptAnswer) -> Replayed:
        """Replayed as it is kept now."""
        with reading_ledger(self.settings, self.use_case.name) as ledger:
            (result,) = self.replay(ledger.of_request(answer.request_id)).answers
        return result

    def change(self, answer: KeptAnswer, change: str, *values: Any) -> None:
        """Past the triggers that would refuse it."""
        with psycopg.connect(self.settings.conninfo(), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            where = "WHERE request = %s AND item IS NOT DISTINCT FROM %s"
            query = f"UPDATE ledger.predictions SET {change} {where}"
            assert connection.execute(query.encode(), [*values, answer.request, answer.item]).rowcount == 1


def ask(settings: Settings, use_case: UseCase, version: ModelVersion, bodies: Sequence[Mapping[str, Any]]) -> None:
    """The first SINGLE alone, many at once, the others in a batch; all get an answer."""

    async def main() -> None:
        async with application(settings, use_case, version) as client:
            single = [client.post("/predict", json=body) for body in bodies[:SINGLE]]
            for response in await asyncio.gather(*single):
                assert (response.status_code, response.headers["AsOf-Kept"]) == (200, "process")
            items = (await client.post("/predict/batch", json={"instances": bodies[SINGLE:]})).json()["predictions"]
            assert Counter(each["kept"] for each in items if "problem" not in each) == {"process": BATCH}

    asyncio.run(main())
    ship(settings, settings.ledger_folder)


def answered(
    settings: Settings,
    use_case: UseCase,
    contract: FeatureContract,
    values: pd.DataFrame,
    bodies: Sequence[Mapping[str, Any]],
) -> Answered:
    kept, versions = settings.model_copy(update={"ledger": "process", "clock": NOW}), []
    for number, estimator in enumerate(models(contract)):
        version = publish(settings, use_case, estimator, contract, values, compiled=number < 2)
        ask(kept, use_case, version, bodies)
        versions.append(version)
    return Answered(settings, use_case, versions)


@pytest.fixture(scope="module")
def churn(settings: Settings, registered_once: Registered) -> Answered:
    """Features from the store: numbers, integers, booleans and texts."""
    copy_features(registered_once.settings, settings)
    export(settings)
    users = kit.users_like(SINGLE + BATCH, seed=3)
    kit.write_users(settings, users, NOW - timedelta(days=10))
    values = pd.DataFrame([kit.flat(views) for views in users.values()])
    return answered(settings, CHURN, registered_once.contract, values, [{"user_id": user} for user in users])


@pytest.fixture(scope="module")
def cancer(settings: Settings) -> Answered:
    """Features in the request, and a derived column."""
    random = np.random.default_rng(0)
    bodies = [{"features": list(EXAMPLE * random.uniform(0.9, 1.1, 30))} for _ in range(SINGLE + BATCH)]
    values = pd.DataFrame([body["features"] for body in bodies], columns=CONTRACT.names)
    return answered(settings, CANCER, CONTRACT, values, bodies)


@pytest.mark.parametrize("name", ["churn", "cancer"])
def test_every_answer_of_three_versions_comes_out_the_same_to_the_last_bit(
    name: str, request: pytest.FixtureRequest
) -> None:
    case: Answered = request.getfixturevalue(name)
    answers = case.answers()
    assert Counter(each.model.version for each in answers) == dict.fromkeys(
        [each.version for each in case.versions], SINGLE + BATCH
    )
    done = case.replay(answers)
    assert [each.reason for each in done.answers if each.reason] == []
    assert (done.agrees, done.counts) == (True, {"same": 3 * (SINGLE + BATCH)})
    assert [each.now for each in done.answers] == [each.prediction for each in answers]
    assert [each.now_answer for each in done.answers] == [each.answer for each in answers]
    assert (done.notes, done.environment, done.greatest_difference) == ((), (), None)


def test_a_value_that_was_changed_by_one_bit_is_noticed(churn: Answered) -> None:
    answer = churn.answers(0)[3]
    (value, *_) = [each.value for each in answer.values if each.type == "Float64"]
    churn.change(answer, "floats[1] = %s", value * (1 + 1e-6))
    result = churn.one(answer)
    assert result.outcome is Outcome.DIFFERS
    assert (result.kept, result.now) == (answer.prediction, pytest.approx(answer.prediction, abs=1e-3))
    assert "or the kept values" in result.reason
    churn.change(answer, "floats[1] = %s", value)
    assert churn.one(answer).outcome is Outcome.SAME


def test_a_what_if_is_replayed_from_the_values_that_it_used(churn: Answered) -> None:
    asked = {"monthly_fee": 70.123456789012345, "months_active": 3, "contract_type": "Two year", "has_family": False}
    user = {"user_id": churn.answers(0)[0].entity}
    kept = churn.settings.model_copy(update={"ledger": "process", "clock": NOW})

    async def main() -> list[str]:
        async with application(kept, churn.use_case, churn.versions[0]) as client:
            bodies = [{**user, "overrides": asked}, {**user, "overrides": asked, "explain": True}, user]
            answers = [await client.post("/predict", json=body) for body in bodies]
            return [each.json()["request_id"] for each in answers]

    requests = asyncio.run(main())
    ship(kept, kept.ledger_folder)
    with reading_ledger(churn.settings, churn.use_case.name) as ledger:
        what_if, explained, plain = [answer for each in requests for answer in ledger.of_request(each)]
    values = {each.feature: (each.value, each.as_of) for each in what_if.values if each.verdict is Verdict.OVERRIDDEN}
    assert values == {name: (value, None) for name, value in asked.items()}
    assert (what_if.hypothetical, plain.hypothetical) == (True, False)
    assert answer_as_json(what_if)["hypothetical"] is True
    assert what_if.prediction == explained.prediction != plain.prediction
    assert churn.replay([what_if, explained, plain]).counts == {"same": 3}


def test_an_answer_of_another_threshold_differs_though_its_prediction_is_the_same(churn: Answered) -> None:
    answer = churn.answers(0)[4]
    churn.change(answer, "decision = 1 - decision")
    result = churn.one(answer)
    churn.change(answer, "decision = 1 - decision")
    assert (result.outcome, result.now) == (Outcome.DIFFERS, answer.prediction)
    assert "threshold" in result.reason


def test_what_is_gone_is_named(churn: Answered) -> None:
    answers = churn.answers(1)[5:8]
    churn.change(answers[0], "floats = NULL, integers = NULL, texts = NULL")
    gone = ("entity", "floats", "integers", "texts", "score")
    churn.change(answers[1], f"code = 'erased', {', '.join(f'{name} = NULL' for name in gone)}")
    churn.change(answers[2], "status = 422, code = 'missing-features', score = NULL")
    lost, erased, refused = (churn.one(each) for each in answers)
    assert (lost.outcome, lost.reason) == (Outcome.GONE, "Its values are not in the ledger.")
    assert (erased.outcome, erased.entity) == (Outcome.ERASED, None)
    assert (refused.outcome, "missing-features" in refused.reason) == (Outcome.REFUSED, True)


def test_a_formula_of_a_derived_column_that_has_changed_is_named(cancer: Answered) -> None:
    answers = cancer.answers(0)[:20]

    def changed(by: float) -> Replay:
        derived = {name: lambda each, own=own: own(each) * by for name, own in cancer.use_case.derived.items()}
        return replay(cancer.settings, replace(cancer.use_case, derived=derived), answers)

    little, much = changed(1 + 1e-9), changed(1.5)
    assert little.counts["differs"] > 10
    assert not little.agrees
    assert little.greatest_difference is not None
    assert 0 < little.greatest_difference < 1e-6
    assert "the code of the derived columns (mean radius x mean texture)" in little.answers[0].reason + "".join(
        each.reason for each in little.answers
    )
    assert much.counts == {"gone": 20}
    assert "golden rows come out differently" in much.answers[0].reason


def test_another_version_is_asked_about_the_same_values(cancer: Answered) -> None:
    answers, other = cancer.answers(0), cancer.versions[1].version
    done = what_if(cancer.settings, cancer.use_case, answers, other)
    assert len(done.answers) == SINGLE + BATCH
    assert (done.failed, done.version) == (0, other)
    assert done.changed == sum(each.kept_answer != each.other_answer for each in done.answers)
    assert {each.kept for each in done.answers} & {each.other for each in done.answers} == set()
    own = cancer.versions[0].version
    same = what_if(cancer.settings, cancer.use_case, answers, own)
    assert same.changed == 0
    assert same.greatest_difference is not None
    assert same.greatest_difference < 1e-15


def test_a_version_that_takes_other_features_cannot_be_asked(churn: Answered) -> None:
    older = kit.registered_contract(churn.settings, "churn_v1")
    other = publish(churn.settings, CHURN, models(older)[1], older, set_of_any(older).frame)
    with pytest.raises(ModelError, match=r"takes avg_session_mins_7d, .*choose a version with the same features"):
        what_if(churn.settings, churn.use_case, churn.answers(0), other.version)
    assert what_if(churn.settings, churn.use_case, churn.answers(0)[:9], churn.versions[1].version).failed == 0


def test_a_sample_is_replayed_by_the_command(cancer: Answered) -> None:
    environment = {**os.environ, **cancer.settings.environment()}
    run = call_flows(environment, "replay", "breast_cancer", "--since", "2024-01-01", "--sample", "50", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    done = json.loads(run.stdout.splitlines()[-1])
    assert (done["agrees"], done["counts"]) == (True, {"same": 50})
    again = call_flows(environment, "replay", "breast_cancer", "--since", "2024-01-01", "--sample", "50", "--json")
    assert json.loads(again.stdout.splitlines()[-1]) == done
    people = call_flows(environment, "replay", "breast_cancer", "--since", "2024-01-01", "--sample", "50")
    assert people.stdout.startswith("50 answers come out the same, to the last bit.")

    answer = cancer.answers(2)[0]
    alone = call_flows(environment, "replay", "breast_cancer", answer.request_id)
    assert alone.returncode == 0
    assert repr(answer.prediction) in alone.stdout
    cancer.change(answer, "floats[1] = floats[1] * 1.01")
    differs = call_flows(environment, "replay", "breast_cancer", answer.request_id)
    cancer.change(answer, "floats[1] = floats[1] / 1.01")
    assert differs.returncode == 1
    assert differs.stdout.startswith("1 answer differs")

    other = cancer.versions[1].version
    asked = call_flows(environment, "replay", "breast_cancer", answer.request_id, "--model", other)
    assert asked.returncode == 0
    assert f"with version {other}" in asked.stdout
    nothing = call_flows(environment, "replay", "breast_cancer")
    assert (nothing.returncode, "a request id, or --since" in nothing.stderr) == (1, True)


def test_a_version_or_run_that_was_deleted_is_named(cancer: Answered) -> None:
    """The last test of this module: they do not come back."""
    client, version = open_tracking(cancer.settings), cancer.versions[2]
    answers = cancer.answers(2)[:10] + cancer.answers(0)[:10]
    client.delete_model_version(version.name, version.version)
    done = cancer.replay(answers)
    assert (done.agrees, done.counts) == (True, {"same": 20})
    (note,) = done.notes
    assert note.startswith(f"The model that answered as version {version.version} is no longer registered")

    client.delete_run(version.run_id)
    done = cancer.replay(answers)
    assert (done.agrees, done.counts) == (False, {"gone": 10, "same": 10})
    assert f"Run {version.run_id} was deleted" in done.answers[0].reason


def test_what_has_changed_since_the_training_is_told_where_an_answer_differs(churn: Answered) -> None:
    version, answer = churn.versions[1], churn.answers(1)[20]
    open_tracking(churn.settings).set_tag(version.run_id, "version.numpy", "1.0")
    assert churn.replay([answer]).environment == ()
    churn.change(answer, "score = score + 1e-9")
    with reading_ledger(churn.settings, "churn") as ledger:
        done = churn.replay(ledger.of_request(answer.request_id))
    ((name, recorded),) = [(each.name, each.recorded) for each in done.environment]
    assert (done.counts, name, recorded) == ({"differs": 1}, "version.numpy", "1.0")


def test_a_model_whose_files_were_changed_is_not_replayed(churn: Answered) -> None:
    other = "A" * 43 + "="
    distrusted = churn.settings.model_copy(update={"trusted_keys": other})
    done = replay(distrusted, churn.use_case, churn.answers(0)[:3])
    assert done.counts == {"gone": 3}
    assert "signed by" in done.answers[0].reason
