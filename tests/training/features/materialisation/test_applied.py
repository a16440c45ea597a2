"""The record of what was applied: it holds while files and registry are as recorded, and is void after any change."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from feast import FeatureView
from feast.feature_view import FeatureViewState

from asof.features import feature_store
from asof.settings import Settings
from tests.kits.data.definitions import TRIPLED, leave_in_state, redefine
from tests.kits.data.history import History, moment
from training.features.materialisation import applied, feature_registry
from training.features.materialisation.applied import is_applied
from training.features.materialisation.feature_registry import apply_features, unapplied_features
from training.features.materialisation.materialise import materialise, unchanged

VIEWS = "streamflow_views.py"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of feature_repo/ in its place."""
    copy = shutil.copytree(feature_store.REPOSITORY, tmp_path / "feature_repo")
    for module in (feature_store, feature_registry):
        monkeypatch.setattr(module, "REPOSITORY", copy)
    return copy


@pytest.fixture
def applied_to(history: History) -> Settings:
    if not is_applied(history.settings):
        apply_features(history.settings)
    return history.settings


def test_after_applying_the_record_holds_and_a_materialisation_does_not_void_it(
    applied_to: Settings, history: History
) -> None:
    assert is_applied(applied_to)
    march, april = (moment(history.plan.as_of(month)) for month in (2, 3))
    assert unchanged(applied_to, as_of=march) is None, "nothing is online yet"
    materialise(applied_to, as_of=march)
    assert is_applied(applied_to)
    again = materialise(applied_to, as_of=march)
    assert unchanged(applied_to, as_of=march) == again
    assert unchanged(applied_to, as_of=april) is None, "april is new"


def test_a_killed_materialisation_is_not_taken_for_unchanged(applied_to: Settings, history: History) -> None:
    march = moment(history.plan.as_of(2))
    materialise(applied_to, as_of=march)
    leave_in_state(applied_to, FeatureViewState.MATERIALIZING)
    assert unchanged(applied_to, as_of=march) is None
    leave_in_state(applied_to, FeatureViewState.AVAILABLE_ONLINE)
    assert unchanged(applied_to, as_of=march)


def _edit(name: str, before: str, after: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(before, after))


@pytest.mark.parametrize(
    "change",
    [
        _edit(VIEWS, "days=45", "days=46"),
        _edit("feature_store.yaml", "project: asof", "project: another"),
        lambda folder: (folder / "query.sql").write_text("SELECT 1"),
        lambda folder: (folder / VIEWS).rename(folder / "renamed_views.py"),
    ],
    ids=["edited", "project", "file", "renamed"],
)
def test_a_change_of_a_file_voids_it(applied_to: Settings, repository: Path, change: Callable[[Path], object]) -> None:
    assert is_applied(applied_to), "the same files in another folder"
    change(repository)
    assert not is_applied(applied_to)


def test_another_version_of_feast_voids_it(applied_to: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applied, "version", lambda name: "0.68.0")
    assert not is_applied(applied_to)


def test_another_apply_voids_it_and_is_found_again(applied_to: Settings) -> None:
    redefine(applied_to, "subs_profile_fv", TRIPLED)
    assert not is_applied(applied_to)
    apply_features(applied_to)
    assert is_applied(applied_to)
    with feature_store.feature_store(applied_to) as store:
        known = store.get_feature_view("users_fv")
        store.apply(FeatureView(name="more_fv", entities=[store.get_entity("user")], source=known.batch_source,
                                schema=known.schema, ttl=timedelta(days=1)))  # fmt: skip
    assert not is_applied(applied_to)
    assert unapplied_features(applied_to) == ["more_fv"]


def test_another_apply_in_between_is_not_recorded(applied_to: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    record = applied.record_applied

    def record_late(applied_to: Settings, defined: object) -> None:
        redefine(applied_to, "subs_profile_fv", TRIPLED)
        record(applied_to, defined)  # type: ignore[arg-type]

    monkeypatch.setattr(feature_registry, "record_applied", record_late)
    apply_features(applied_to)
    assert not is_applied(applied_to)
    assert unapplied_features(applied_to) == ["subs_profile_fv"]


def test_definitions_that_depend_on_other_files_are_not_recorded(applied_to: Settings, repository: Path) -> None:
    (repository / VIEWS).write_text(f"import asof.settings\n{(repository / VIEWS).read_text()}")
    apply_features(applied_to)
    assert not is_applied(applied_to)


def test_without_the_table_or_the_right_to_read_it_feast_is_asked(applied_to: Settings) -> None:
    with psycopg.connect(applied_to.conninfo(), autocommit=True) as connection:
        connection.execute("DROP TABLE applied_features")
    assert not is_applied(applied_to)
    assert unapplied_features(applied_to) == []
