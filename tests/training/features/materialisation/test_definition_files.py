"""feature_repo/ with a file that is broken, or with a name that two files use."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asof.errors import ConfigurationError, TrainingSetError
from asof.features.feature_store import REPOSITORY, feature_store
from asof.settings import Settings, export
from doctor.context import Context
from doctor.data.definitions import check_definitions
from tests.kits.use_cases.beside import KIT, READERS_OF_REPOSITORY, forget_modules
from training.features.datasets.point_in_time import read_sources
from training.features.materialisation.definition_files import read_definitions
from training.features.materialisation.feature_registry import apply_features, broken_files, unapplied_features

OTHER = "other_features_of_a_test"
BROKEN = {
    "from feast import (\n": r"other_features_of_a_test\.py:1: SyntaxError: '\(' was never closed\. Correct it\.",
    "\nimport not_installed_anywhere\n": r"other_features_of_a_test\.py:2: ModuleNotFoundError: No module named 'not_",
    "raise ValueError('postgresql://ann:hunter2@h/db')": r"other_features_of_a_test\.py:1: ValueError\. Correct it\.",
    "raise SystemExit": r"other_features_of_a_test\.py:1: SystemExit\. Correct it\.",
    "from feast import Entity\nuser = Entity(name=7)": (
        r"other_features_of_a_test\.py:2: TypeCheckError: .*argument \"name\".* not an instance of str\. Correct it\."
    ),
}
BEGINNING = """
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64
from streamflow_entities import user
from streamflow_sources import users_source
"""
TAKEN = {
    "user = Entity(name='user', join_keys=['customer_id'], value_type=ValueType.STRING)": (
        "streamflow_entities.py define two different entities named 'user'"
    ),
    "v = FeatureView(name='Users_FV', entities=[user], schema=[Field(name='x', dtype=Float64)], source=users_source)": (
        "streamflow_views.py define two different feature views named 'Users_FV'"
    ),
    "s = FeatureService(name='churn_v2', features=[])": (
        "streamflow_services.py define two different feature services named 'churn_v2'"
    ),
    "t = PostgreSQLSource(name='users', table='other_users', timestamp_field='as_of')": (
        "streamflow_sources.py define two different data sources named 'users'"
    ),
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of feature_repo/."""
    repository = shutil.copytree(REPOSITORY, tmp_path / "feature_repo")
    for module in READERS_OF_REPOSITORY:
        monkeypatch.setattr(f"{module}.REPOSITORY", repository)
    yield repository
    forget_modules(repository)


def write(repository: Path, text: str) -> None:
    sys.modules.pop(OTHER, None)
    (repository / f"{OTHER}.py").write_text(text)


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_does_not_import_takes_only_its_own_definitions_away(repository: Path, text: str) -> None:
    write(repository, text)
    with read_definitions(repository) as defined:
        assert {service.name for service in defined.contents.feature_services} == {"churn_v1", "churn_v2"}
        assert list(defined.broken) == [f"{OTHER}.py"]
    assert len(broken_files(["churn_v1", "churn_v2"])) == 1
    with pytest.raises(ConfigurationError, match=BROKEN[text]) as caught:
        broken_files(["churn_v2", "other_v1"])
    assert str(caught.value).endswith("So other_v1 is not defined.")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", TAKEN)
def test_a_name_for_two_definitions_is_refused_with_both_files(repository: Path, text: str) -> None:
    write(repository, BEGINNING.replace("import user\n", "import user as _\n") + text.replace("[user]", "[_]"))
    with pytest.raises(
        ConfigurationError, match=TAKEN[text].replace("streamflow", "feature_repo/streamflow")
    ) as caught:
        broken_files()
    assert f"feature_repo/{OTHER}.py" in str(caught.value)


def test_one_definition_in_two_files_is_one(repository: Path) -> None:
    write(repository, (repository / "streamflow_entities.py").read_text())
    assert broken_files() == []


def test_what_is_registered_of_a_broken_file_stays_and_goes_with_the_file(
    settings: Settings, repository: Path, tmp_path: Path
) -> None:
    export(settings)
    write(repository, (KIT / "returns_features.py").read_text())
    apply_features(settings)
    assert read_sources(settings, "returns_v1")
    write(repository, "import not_installed_anywhere\n")
    (repository / "streamflow_services.py").write_text(
        (repository / "streamflow_services.py").read_text().replace("churn_v1", "churn_v0")
    )
    for name in [each for each in sys.modules if each.startswith("streamflow_")]:
        del sys.modules[name]
    assert unapplied_features(settings) == ["churn_v0"]
    apply_features(settings)
    assert unapplied_features(settings) == []
    assert read_sources(settings, "returns_v1")
    assert read_sources(settings, "churn_v0")
    found = {each.name: each for each in check_definitions(Context(settings, {}, tmp_path, tmp_path))}
    assert "the others can" in str(found[f"feature-file:feature_repo/{OTHER}.py"].fix)
    (repository / f"{OTHER}.py").unlink()
    apply_features(settings)
    with pytest.raises(TrainingSetError, match="returns_v1 cannot be read"):
        read_sources(settings, "returns_v1")
    with feature_store(settings) as store:
        assert "shop_customers_fv" not in {view.name for view in store.list_feature_views()}
