"""The version of the running code, from repositories made for the test."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import training.data.snapshots.provenance
from asof.features.feature_contract import FeatureContract
from asof.model_facts import Lineage
from asof.serving.prediction.predictor import identity
from tests.kits.service.serving import facts_of
from training.data.snapshots.provenance import CodeVersion, code_version
from training.release.bundling.bundle import _labels
from training.release.registry.versions import LoggedModel


def _git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(repository), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, taken for the project's."""
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "module.py").write_text("one\n")
    (tmp_path / ".gitignore").write_text("ignored\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(training.data.snapshots.provenance, "PROJECT", tmp_path)
    return tmp_path


def test_a_clean_checkout_is_its_commit(repository: Path) -> None:
    (repository / "ignored").write_text("data\n")

    commit = _git(repository, "rev-parse", "HEAD")
    assert code_version() == CodeVersion(commit, dirty=False)
    assert str(code_version()) == commit


@pytest.mark.parametrize("file", ["module.py", "new.py"], ids=["changed file", "new file"])
def test_a_file_that_differs_from_the_commit_makes_it_dirty(repository: Path, file: str) -> None:
    (repository / file).write_text("two\n")

    commit = _git(repository, "rev-parse", "HEAD")
    assert code_version() == CodeVersion(commit, dirty=True)
    assert str(code_version()) == f"{commit}-dirty"


def test_a_folder_inside_someone_elses_repository_has_no_version(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "inside").mkdir()
    monkeypatch.setattr(training.data.snapshots.provenance, "PROJECT", repository / "inside")

    assert code_version() == CodeVersion("unknown", dirty=True)


def test_without_git_the_version_is_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))

    assert code_version() == CodeVersion("unknown", dirty=True)


def test_a_staged_file_makes_it_dirty(repository: Path) -> None:
    (repository / "module.py").write_text("two\n")
    _git(repository, "add", "module.py")
    assert code_version().dirty
    (repository / "module.py").write_text("one\n")
    assert code_version().dirty, "staged, and taken back in the folder alone"


def test_a_new_file_makes_it_dirty_whatever_the_users_git_leaves_out(repository: Path) -> None:
    _git(repository, "config", "status.showUntrackedFiles", "no")
    (repository / "asof").mkdir()
    (repository / "asof" / "new.py").write_text("two\n")
    assert code_version().dirty


@pytest.mark.parametrize("file", ["module.py", "new.py"])
def test_a_changed_submodule_makes_it_dirty(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, file: str
) -> None:
    library = tmp_path_factory.mktemp("library")
    _git(library, "init", "--quiet")
    (library / "module.py").write_text("one\n")
    _git(library, "add", ".")
    _git(library, "commit", "--quiet", "-m", "first")
    _git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(library), "library")
    _git(repository, "config", "submodule.library.ignore", "all")
    _git(repository, "commit", "--quiet", "-m", "with a library")
    assert not code_version().dirty
    (repository / "library" / file).write_text("two\n")
    assert code_version().dirty


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_INDEX_FILE"])
def test_the_repository_of_a_running_hook_is_ignored(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    commit = _git(repository, "rev-parse", "HEAD")
    monkeypatch.setenv(variable, str(tmp_path_factory.mktemp("other") / ".git"))
    assert code_version() == CodeVersion(commit, dirty=False)


def test_a_worktree_has_a_version_of_its_own(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path_factory.mktemp("beside") / "tree"
    _git(repository, "worktree", "add", "--quiet", str(beside))
    monkeypatch.setattr(training.data.snapshots.provenance, "PROJECT", beside)
    assert code_version() == CodeVersion(_git(repository, "rev-parse", "HEAD"), dirty=False)
    (repository / "module.py").write_text("two\n")
    assert not code_version().dirty
    (beside / "module.py").write_text("two\n")
    assert code_version().dirty


@pytest.mark.parametrize("refused", ["rev-parse", "status"])
def test_where_git_refuses_nothing_is_known(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """As it does for "dubious ownership", or with a damaged index."""
    folder = tmp_path_factory.mktemp("bin")
    git = folder / "git"
    refusal = 'echo "fatal: detected dubious ownership" >&2; exit 128'
    git.write_text(f'#!/bin/sh\ncase "$*" in *{refused}*) {refusal};; esac\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    assert code_version() == CodeVersion("unknown", dirty=True)


@pytest.mark.parametrize(("dirty", "version"), [(False, "c" * 40), (True, f"{'c' * 40}-dirty")])
def test_an_answer_and_the_labels_of_a_bento_have_the_dirty_suffix(dirty: bool, version: str) -> None:
    facts = replace(facts_of(FeatureContract("churn_v2", "user_id", ())), git_dirty=dirty)
    assert facts.code_version == version
    lineage = Lineage("streamflow_churn", "1", "a" * 32, "streamflow_churn:v1")
    served: Any = SimpleNamespace(facts=facts)
    assert identity(served, lineage)["git_commit"] == version
    logged = LoggedModel("streamflow_churn", "1", "a" * 32, facts)
    assert _labels(logged)["git_commit"] == version


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", CodeVersion("unknown", dirty=True)),
        ("unknown", CodeVersion("unknown", dirty=True)),
        ("-dirty", CodeVersion("unknown", dirty=True)),
        ("unknown-dirty", CodeVersion("unknown", dirty=True)),
        ("5f57a32e", CodeVersion("5f57a32e", dirty=False)),
        ("5f57a32e-dirty", CodeVersion("5f57a32e", dirty=True)),
    ],
)
def test_an_image_has_the_version_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: CodeVersion
) -> None:
    (tmp_path / ".code-version").write_text(f"{content}\n")
    monkeypatch.setattr(training.data.snapshots.provenance, "PROJECT", tmp_path)
    assert code_version() == expected


def test_a_checkout_ignores_the_version_file(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / ".code-version").write_text("5f57a32e\n")
    monkeypatch.setenv("PATH", str(repository))

    assert code_version() == CodeVersion("unknown", dirty=True)
