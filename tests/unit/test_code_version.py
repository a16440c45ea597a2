"""The version of the running code, from repositories made for the test."""

import subprocess
from pathlib import Path

import pytest

import training.code_version
from training.code_version import CodeVersion, code_version


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
    monkeypatch.setattr(training.code_version, "PROJECT", tmp_path)
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
    monkeypatch.setattr(training.code_version, "PROJECT", repository / "inside")

    assert code_version() == CodeVersion("unknown", dirty=True)


def test_the_repository_of_a_running_hook_is_not_taken_for_ours(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path_factory.mktemp("other") / ".git"))

    assert len(code_version().commit) == 40


def test_without_git_the_version_is_unknown(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))

    assert code_version() == CodeVersion("unknown", dirty=True)


@pytest.mark.parametrize("told", ["5f57a32e", "5f57a32e-dirty", "unknown-dirty"])
def test_an_image_says_the_version_that_it_was_built_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    (tmp_path / ".code-version").write_text(f"{told}\n")
    monkeypatch.setattr(training.code_version, "PROJECT", tmp_path)

    assert str(code_version()) == told
    assert code_version().dirty is told.endswith("-dirty")


def test_a_checkout_is_not_what_a_file_says(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / ".code-version").write_text("5f57a32e\n")
    monkeypatch.setenv("PATH", str(repository))

    assert code_version() == CodeVersion("unknown", dirty=True)
