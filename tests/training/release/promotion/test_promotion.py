"""Register, promote and roll back in a real registry; each test has a registered model of its own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.metrics import roc_auc_score

from asof.errors import ModelError, TrainingSetError
from asof.model_facts import Split
from asof.settings import Settings
from tests.kits.models.promotion import GOOD, SETS, Registry, by_contest, fresh_registry, keep, restore, set_for
from tests.kits.models.training import SMALLER, made_up_set
from training.models.evaluation.evaluate import Evaluation, evaluate
from training.models.fitting.train import train
from training.release.gate.contest import hold_contest
from training.release.promotion.promote import promote
from training.release.registry.register import register
from training.release.registry.versions import ModelVersion, load_model, model_version, production
from training.targets.rules import Criterion
from training.tracking.client import stages_allowed, tracked_run


@pytest.fixture
def registry(settings: Settings, evaluations: Mapping[str, Evaluation]) -> Registry:
    return fresh_registry(settings, evaluations)


def test_the_same_evaluation_is_registered_once(registry: Registry) -> None:
    first = registry.version("default")
    assert registry.version("default") == first
    assert first.version == "1"
    assert first.metrics == registry.evaluations["default"].metrics
    assert first.facts == registry.evaluations["default"].facts
    tags = registry.client.get_model_version(registry.name, "1").tags
    assert {name: tags[name] for name in ("fingerprint", "rows_digest")} == {
        "fingerprint": SETS["small_v1"].fingerprint,
        "rows_digest": SETS["small_v1"].rows_digest[:12],
    }


def test_a_first_version_that_beats_a_constant_model_goes_into_production(registry: Registry) -> None:
    assert production(registry.settings, registry.use_case) is None
    outcome = registry.promote("default")
    assert (outcome.promoted, outcome.version, outcome.previous) == (True, "1", None)
    assert [criterion.passed for criterion in outcome.criteria] == [True, True, True]
    assert production(registry.settings, registry.use_case) == registry.version("default")


def test_alias_and_stage_both_resolve(registry: Registry) -> None:
    import mlflow

    registry.promote("default")
    features = SETS["small_v1"].features
    expected = load_model(registry.settings, registry.version("default")).predict_proba(features)
    name = registry.name
    with stages_allowed():
        for uri in (f"models:/{name}@production", f"models:/{name}/Production"):
            assert np.array_equal(mlflow.pyfunc.load_model(uri).predict(features), expected)


def test_a_first_version_that_knows_nothing_stays_out(registry: Registry) -> None:
    outcome = registry.promote("constant")
    assert (outcome.promoted, outcome.previous) == (False, None)
    assert production(registry.settings, registry.use_case) is None
    assert registry.stages() == {"1": "None"}


def test_a_better_version_takes_over_and_the_old_one_is_archived(registry: Registry) -> None:
    registry.promote("less")
    outcome = registry.promote("default")
    assert (outcome.promoted, outcome.version, outcome.previous) == (True, "2", "1")
    assert registry.stages() == {"1": "Archived", "2": "Production"}
    assert str(registry.state()["alias"]["production"]) == "2"
    tags = registry.client.get_model_version(registry.name, "2").tags
    assert tags["promoted_from"] == "1"
    assert tags["promoted_at"]


def test_a_further_criterion_that_fails_keeps_a_good_version_out(registry: Registry) -> None:
    outside = Criterion("online store agrees with the offline store", False, {}, "1 value differs")
    version = registry.version("default")
    gate = by_contest(registry.settings, version)
    outcome = registry.put("default", lambda champion: [*gate(champion), outside])
    assert not outcome.promoted
    assert [criterion.passed for criterion in outcome.criteria] == [True, True, True, False]
    assert registry.stages() == {"1": "None"}
    passed = replace(outside, passed=True)
    assert registry.put("default", lambda champion: [*gate(champion), passed]).promoted


@pytest.mark.parametrize("challenger", ["less", "constant"])
def test_a_version_that_is_not_better_stays_unpromoted(registry: Registry, challenger: str) -> None:
    registry.promote("default")
    registry.version(challenger)
    before = registry.state()
    outcome = registry.promote(challenger)
    assert (outcome.promoted, outcome.previous) == (False, "1")
    assert registry.state() == before


def test_a_version_that_is_just_as_good_stays_unpromoted(registry: Registry) -> None:
    registry.promote("default")
    again = evaluate(registry.settings, train(registry.settings, registry.use_case, SETS["small_v1"]))
    version = register(registry.settings, again)
    outcome = promote(registry.settings, version, judge=by_contest(registry.settings, version))
    assert (outcome.version, outcome.promoted) == ("2", False)


def test_both_are_scored_on_the_same_held_out_users_each_on_its_own_features(registry: Registry) -> None:
    registry.promote("less")
    criterion = registry.promote("default").criteria[0]
    for name, figure in (("default", "challenger"), ("less", "champion")):
        version = registry.version(name)
        _, held_out = set_for(version.facts.contract).split(Split(0.25))
        scores = load_model(registry.settings, version).predict_proba(held_out.features)[:, 1]
        assert criterion.figures[figure] == roc_auc_score(held_out.labels, scores)


def test_users_that_one_of_the_two_cannot_score_are_left_out(registry: Registry) -> None:
    champion, challenger = registry.version("less"), registry.version("default")
    gaps = SETS["small_v0"].frame.assign(plan=SETS["small_v0"].frame["plan"].where(lambda plan: plan != "yearly"))
    sets = SETS | {"small_v0": replace(SETS["small_v0"], frame=gaps)}
    contest = hold_contest(
        registry.settings, challenger, champion, training_set_for=lambda each: sets[each.feature_service]
    )
    _, held_out = SETS["small_v1"].split(Split(0.25))
    kept = (held_out.frame["plan"] != "yearly").to_numpy()
    assert 0 < kept.sum() < kept.size
    assert np.array_equal(contest.labels, held_out.labels[kept])
    expected = load_model(registry.settings, challenger).predict_proba(held_out.features)[kept, 1]
    assert np.array_equal(contest.challenger, expected)


def test_a_champion_is_never_scored_on_users_that_it_was_trained_on(registry: Registry) -> None:
    version = registry.version("default")
    champion = replace(version, facts=replace(version.facts, split=Split(0.1)))
    contest = hold_contest(registry.settings, registry.version("less"), champion, training_set_for=set_for)
    assert contest.labels.size == len(SETS["small_v1"].split(Split(0.1))[1].frame)


def drawn(version: ModelVersion, **facts: Any) -> ModelVersion:
    """The version, as if its held-out rows had been drawn and not split by key."""
    return replace(version, facts=replace(version.facts, split=Split(0.25, seed=7), **facts))


def test_the_rows_of_another_month_are_compared_on_where_the_key_tells_who_is_held_out(registry: Registry) -> None:
    another = made_up_set(seed=1)
    contest = hold_contest(registry.settings, registry.version("default"), None, training_set_for=lambda _: another)
    assert np.array_equal(contest.labels, another.split(Split(0.25))[1].labels)


def test_a_version_whose_held_out_rows_were_drawn_is_compared_on_the_same_rows_only(registry: Registry) -> None:
    version = drawn(registry.version("default"))
    contest = hold_contest(registry.settings, version, None, training_set_for=set_for)
    assert np.array_equal(contest.labels, SETS["small_v1"].split(Split(0.25, seed=7))[1].labels)
    for champion in (None, version):
        challenger = version if champion is None else registry.version("default")
        with pytest.raises(ModelError, match=r"drawn from another data set .*Train it again"):
            hold_contest(registry.settings, challenger, champion, training_set_for=lambda _: made_up_set(seed=1))


def test_a_month_without_a_complete_row_is_named(registry: Registry) -> None:
    whole = SETS["small_v1"]
    gaps = {"small_v0": SETS["small_v0"], "small_v1": replace(whole, frame=whole.frame.assign(hours=np.nan))}
    full, less = registry.version("default"), registry.version("less")
    for challenger, champion in ((full, None), (less, full)):
        with pytest.raises(TrainingSetError, match=rf"as of 2024-01-31 has every feature of .* version {full.version}"):
            hold_contest(
                registry.settings, challenger, champion, training_set_for=lambda each: gaps[each.feature_service]
            )


def test_the_same_rows_under_another_fingerprint_are_compared(registry: Registry) -> None:
    """A later `known_at`, or the text of the join in a later version of ours, is no other training set to a model."""
    elsewhere = replace(SETS["small_v1"], fingerprint="another")
    judge = by_contest(registry.settings, registry.version("default"), lambda _: elsewhere)
    assert registry.put("default", judge).promoted


def test_a_version_from_before_rows_were_digested_is_to_be_trained_again(registry: Registry) -> None:
    old = drawn(registry.version("default"), rows_digest="")
    with pytest.raises(ModelError, match=r"rows not recorded, now \w{12}\): it is unknown"):
        hold_contest(registry.settings, old, None, training_set_for=set_for)


def test_a_champion_whose_features_are_gone_is_reported(registry: Registry) -> None:
    registry.promote("default")
    renamed = replace(SETS["small_v1"], frame=SETS["small_v1"].frame.drop(columns="hours"), contract=SMALLER)
    sets = SETS | {"small_v1": renamed}
    judge = by_contest(registry.settings, registry.version("less"), lambda each: sets[each.feature_service])
    with pytest.raises(ModelError, match="takes the feature 'hours'"):
        registry.put("less", judge)


def test_promoting_again_changes_nothing_and_restores_the_stage(registry: Registry) -> None:
    registry.promote("less")
    first = registry.promote("default")
    before = registry.state()
    with stages_allowed():
        registry.client.transition_model_version_stage(registry.name, "2", "None")
    again = registry.promote("default")
    assert (again.promoted, again.previous, again.criteria) == (True, first.previous, ())
    assert registry.state() == before


STEPS = (
    "transition_model_version_stage",
    "set_model_version_tag",
    "set_registered_model_alias",
    "set_registered_model_tag",
)


def fails_once(step: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """The step, whose first call fails: before it does anything, or when it has done its work."""
    calls: list[bool] = []

    def stumble(*args: Any, **kwargs: Any) -> Any:
        calls.append(True)
        if len(calls) > 1:
            return step(*args, **kwargs)
        if after:
            step(*args, **kwargs)
        raise ConnectionError("the registry went away")

    return stumble


def always_away(*_args: Any, **_kwargs: Any) -> None:
    raise ConnectionError("the registry went away")


@pytest.fixture(scope="module")
def prepared(settings: Settings, evaluations: Mapping[str, Evaluation]) -> dict[str | None, Registry]:
    """By the estimator in Production: `default` is registered, and can be promoted."""
    registries = {champion: fresh_registry(settings, evaluations) for champion in (None, "less")}
    for champion, registry in registries.items():
        if champion:
            registry.put(champion)
        registry.version("default")
        keep(registry)
    return registries


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("champion", "after"),
    [("less", False), ("less", True), (None, True), pytest.param(None, False, marks=pytest.mark.soak)],
)
def test_a_failure_on_the_way_leaves_everything_as_it_was(
    prepared: dict[str | None, Registry],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
    champion: str | None,
) -> None:
    registry = restore(prepared[champion])
    before = registry.state()
    monkeypatch.setattr(MlflowClient, step, fails_once(getattr(MlflowClient, step), after=after))
    with pytest.raises(ConnectionError):
        registry.promote("default")
    assert registry.state() == before
    promoted, undone = registry.history()[-2:]
    assert (promoted.event, undone.event, undone.version) == ("promoted", "undone", promoted.previous)
    assert undone.reason == "ConnectionError: the registry went away"
    assert (registry.report().intact, registry.report().mlflow) == (True, "")
    assert registry.promote("default").promoted


@pytest.mark.parametrize("champion", [None, "less"])
def test_a_failure_that_cannot_be_undone_is_reported_and_the_next_promotion_finishes_it(
    prepared: dict[str | None, Registry], champion: str | None
) -> None:
    registry = restore(prepared[champion])
    before, entries = registry.state(), len(registry.history())
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(MlflowClient, "set_registered_model_alias", always_away)
        broken.setattr(MlflowClient, "delete_model_version_tag", always_away)
        with pytest.raises(ModelError, match="alias and stage may disagree") as error:
            registry.promote("default")
    assert isinstance(error.value.__cause__, ConnectionError)
    assert registry.state() != before
    assert "is half done" in registry.report().mlflow
    assert [entry.event for entry in registry.history()[entries:]] == ["promoted", "undone"]
    assert not registry.put("constant", lambda champion: [replace(GOOD, passed=False)]).promoted
    assert {key: registry.state()[key] for key in before} == before
    assert registry.report().mlflow == ""
    assert registry.promote("default").promoted


def test_a_rollback_restores_the_previous_version(registry: Registry) -> None:
    registry.put("less")
    registry.put("default")
    outcome = registry.rollback(reason="complaints")
    assert (outcome.promoted, outcome.version, outcome.previous) == (True, "1", "2")
    assert registry.stages() == {"1": "Production", "2": "Archived"}
    found = production(registry.settings, registry.use_case)
    assert found is not None
    assert found.version == "1"
    assert registry.client.get_model_version(registry.name, "2").tags["rolled_back_because"] == "complaints"


def test_a_rollback_goes_no_further_back_than_the_first_version(registry: Registry) -> None:
    registry.put("less")
    registry.put("default")
    registry.rollback(reason="complaints")
    before = registry.state()
    with pytest.raises(ModelError, match="version 1 was the first in Production"):
        registry.rollback(reason="complaints again")
    assert registry.state() == before


def test_a_rollback_to_a_named_version_may_be_repeated(registry: Registry) -> None:
    registry.put("less")
    registry.put("default")
    registry.rollback(to="1", reason="complaints")
    before = registry.state()
    assert registry.rollback(to="1", reason="complaints").version == "1"
    assert registry.state() == before
    assert registry.rollback(to="2", reason="it was not the model").version == "2"


def test_a_rollback_does_not_go_round_the_gate(registry: Registry) -> None:
    registry.promote("default")
    registry.promote("less")
    with pytest.raises(ModelError, match="version 2 has never been in Production"):
        registry.rollback(to="2", reason="I like it")
    with pytest.raises(ModelError, match=r"has no version '7'; it has: \[1, 2\]"):
        registry.rollback(to="7", reason="a slip")


def test_there_is_nothing_to_roll_back_where_nothing_was_promoted(registry: Registry) -> None:
    with pytest.raises(ModelError, match="is in Production: promote one first"):
        registry.rollback(reason="complaints")


@pytest.mark.parametrize("number", ["3", "latest"])
def test_a_missing_version_is_reported_with_the_existing_ones(registry: Registry, number: str) -> None:
    registry.version("default")
    with pytest.raises(ModelError, match=rf"has no version '{number}'; it has: \[1\]"):
        model_version(registry.settings, registry.use_case, number)


def test_a_model_that_asof_did_not_train_is_refused(registry: Registry) -> None:
    name = registry.name
    with tracked_run(registry.settings, "elsewhere", "elsewhere"):
        import mlflow

        model = load_model(registry.settings, registry.version("constant"))
        mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"], registered_model_name=name)
    with pytest.raises(ModelError, match="version 2 was not trained by AsOf"):
        model_version(registry.settings, registry.use_case, "2")
