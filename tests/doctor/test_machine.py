"""The doctor's checks on variables, keys and Docker, on facts that are context."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from asof.settings import PROJECT, Settings
from doctor.context import Addresses, Context, read_context, read_settings, with_user
from doctor.finding import Finding, Severity
from doctor.machine.docker import Docker, check_docker, check_versions
from doctor.machine.keys import check_api_keys, check_signer
from doctor.machine.variables import check_names, check_proxy, check_python_variables, known_names
from doctor.platforms.database import check_connection
from doctor.platforms.mlflow_server import check_tracking

HEALTHY = Docker(Path("/usr/bin/docker"), engine="27.1.0", compose="2.29.1", buildx=True)


def only(found: object) -> Finding:
    """The one finding."""
    (finding,) = list(found)  # type: ignore[call-overload]
    assert isinstance(finding, Finding)
    return finding


# --- variables ---------------------------------------------------------------------------------------------------


def test_an_unknown_variable_is_reported_with_the_nearest_known_one() -> None:
    found = only(check_names({".env": {"ASOF_POSTGRES_UR": "x"}}, known_names(PROJECT)))
    assert "ASOF_POSTGRES_UR is set in .env" in found.found
    assert "Did you mean ASOF_POSTGRES_URL?" in found.fix


def test_a_name_that_is_like_no_other_is_reported_without_a_guess() -> None:
    assert "Did you mean" not in only(check_names({".env": {"ASOF_XYZZY": "x"}}, known_names(PROJECT))).fix


def test_every_setting_and_every_variable_of_our_processes_is_known() -> None:
    settings = Settings(postgres_url="postgresql://u:p@127.0.0.1/d")  # type: ignore[arg-type]
    variables = {**settings.environment(), "ASOF_STARTED_AS": "x", "asof_port": "1"}
    example = [
        line[1:].partition("=")[0] for line in (PROJECT / ".env.example").read_text().splitlines() if "=" in line
    ]
    assert list(check_names({"": variables | dict.fromkeys(example, "x")}, known_names(PROJECT))) == []


def test_python_variables_that_slow_or_mix_are_reported() -> None:
    variables = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/elsewhere", "PYTHONHOME": ""}
    assert [each.fix for each in check_python_variables(variables, PROJECT)] == [
        "unset PYTHONDONTWRITEBYTECODE",
        "unset PYTHONPATH",
    ]
    assert list(check_python_variables({"PYTHONPATH": str(PROJECT)}, PROJECT)) == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_would_get_our_own_requests_is_reported(name: str) -> None:
    assert "NO_PROXY=localhost,127.0.0.1" in only(check_proxy({name: "http://proxy:3128"})).fix
    assert only(check_proxy({name: "http://proxy:3128", "NO_PROXY": "localhost"})).severity is Severity.ERROR
    for exempt in ("*", "localhost, 127.0.0.1,.corp"):
        assert list(check_proxy({name: "http://proxy:3128", "no_proxy": exempt})) == []
    assert list(check_proxy({"HTTPS_PROXY": "http://proxy:3128"})) == []


def test_an_env_file_that_is_no_text_is_reported_and_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"ASOF_PORT=1\nASOF_ACTOR=Jos\xe9\n")
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    monkeypatch.delenv("ASOF_PORT", raising=False)
    settings, wrong = read_settings()
    assert (settings.port, Context(settings, {}, tmp_path, tmp_path).file) == (3000, {})
    assert (only(wrong).name, only(wrong).severity) == ("env-file", Severity.ERROR)


def test_a_setting_that_cannot_be_read_is_a_finding_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASOF_PORT", "hunter2")
    monkeypatch.setenv("ASOF_MLFLOW_PORT", "6060")
    settings, wrong = read_settings()
    assert (settings.port, settings.mlflow_port) == (3000, 6060)
    assert "ASOF_PORT cannot be read" in only(wrong).found
    assert "hunter2" not in only(wrong).found


@pytest.mark.parametrize(
    "address", ["hunter2", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h", "postgresql://h:hunter2/d"]
)
def test_an_address_that_cannot_be_read_is_a_finding_without_its_password(address: str, tmp_path: Path) -> None:
    context = read_context(Addresses(postgres=address), use_case="churn")
    found = [*context.wrong, *check_connection(context)]
    assert "postgres" in [each.name for each in found]
    assert "hunter2" not in repr(found)


def test_a_user_of_the_variables_is_taken_unless_the_address_names_one() -> None:
    assert with_user("http://h:1/x", "ann", "a/b@c") == "http://ann:a%2Fb%40c@h:1/x"
    assert with_user("http://bob:p@h", "ann", "secret") == "http://bob:p@h"
    assert with_user("http://h", "", "") == "http://h"


# --- keys ----------------------------------------------------------------------------------------------


def test_an_untrusted_signer_is_reported() -> None:
    assert "flows keys" in only(check_signer("aa", {"bb"})).fix
    assert list(check_signer("aa", {"aa", "bb"})) == list(check_signer("", {"bb"})) == []


# --- Docker ------------------------------------------------------------------------------------------------------


def test_docker_as_a_snap_is_reported_unless_its_temporary_folder_is_at_home() -> None:
    docker = replace(HEALTHY, program=Path("/snap/bin/docker"))
    assert "TMPDIR" in only(check_versions(docker, {"HOME": "/home/ann"})).fix
    assert list(check_versions(docker, {"HOME": "/home/ann", "TMPDIR": "/home/ann/tmp"})) == []
    assert list(check_versions(HEALTHY, {"HOME": "/home/ann"})) == []


@pytest.mark.parametrize(
    ("docker", "name"),
    [
        (replace(HEALTHY, engine="19.03.1"), "docker-version"),
        (replace(HEALTHY, compose="1.25.0"), "compose-version"),
        (replace(HEALTHY, buildx=False), "buildkit"),
    ],
)
def test_what_is_wrong_with_docker(docker: Docker, name: str) -> None:
    assert only(check_versions(docker, {})).name == name


def test_without_an_engine_that_answers_no_other_tool_of_docker_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    for name in ("docker", "docker-compose"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} $1 >> {asked}\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    context = Context(Settings(_env_file=None), {}, PROJECT, tmp_path)
    assert list(check_docker(context)) == []
    assert asked.read_text() == "docker version\n"


def test_docker_that_fits_gives_no_finding() -> None:
    assert list(check_versions(HEALTHY, {})) == []
    old = replace(HEALTHY, engine="20.10.24+dfsg1", compose="1.29.2", buildx=False)
    assert list(check_versions(old, {"DOCKER_BUILDKIT": "0"})) == []


# --- nothing is made, and no secret is quoted ----------------------------------------------------------------------


def context_with(tmp_path: Path, **changed: object) -> Context:
    settings = Settings(_env_file=None, home=tmp_path).model_copy(update=changed)
    return Context(settings, {}, PROJECT, tmp_path)


def test_a_file_of_mlflows_that_is_absent_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    context = context_with(tmp_path, mlflow_tracking_uri=f"sqlite:///{file}")
    assert only(check_tracking(context)).name == "mlflow-empty"
    assert not file.exists()


def test_a_parameter_that_libpq_does_not_know_is_an_error_and_not_quoted(tmp_path: Path) -> None:
    url = SecretStr("postgresql://ann:pw@127.0.0.1:1/asof?secret=1")
    found = only(check_connection(context_with(tmp_path, postgres_url=url)))
    assert (found.severity, "secret" in found.found) == (Severity.ERROR, False)


def test_api_keys_that_stop_a_service_at_its_start_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    assert "cannot be read" in only(check_api_keys(context_with(tmp_path, api_keys=file))).found
    file.write_text("# none yet\n")
    assert list(check_api_keys(context_with(tmp_path, api_keys=file))) == []
