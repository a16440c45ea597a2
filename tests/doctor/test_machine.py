"""The doctor's checks on variables, packages, files, room, ports, clocks and Docker, on facts that are given."""

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pydantic import SecretStr

from asof.settings import PROJECT, Settings
from doctor.clocks import clocks_apart, seconds_ahead
from doctor.finding import Finding, Severity
from doctor.given import Addresses, Given, given_by, read_settings, with_user
from doctor.machine.disk_and_memory import GB, Place, little_disk, little_memory, logs, long_logs, no_folders, places
from doctor.machine.files import Secret, exposed, is_secret, secret_files
from doctor.machine.keys import look_at_api_keys, signer_is_trusted
from doctor.machine.modules import look_at_modules
from doctor.machine.packages import beside_lock, broken_pins, installed, lock_of, locked, python_fits
from doctor.machine.ports import Port, same_twice, taken
from doctor.machine.variables import (
    absent_file,
    another_file,
    hindrances,
    known_names,
    overruled,
    proxies,
    unknown_names,
)
from doctor.platforms.database import look_at_connection
from doctor.platforms.docker import Docker, judged, snap
from doctor.platforms.mlflow_server import look_at_tracking
from doctor.published import readable, variables_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HEALTHY = Docker(Path("/usr/bin/docker"), engine="27.1.0", compose="2.29.1", buildx=True)


def only(found: object) -> Finding:
    """The one finding."""
    (finding,) = list(found)  # type: ignore[call-overload]
    assert isinstance(finding, Finding)
    return finding


# --- variables ---------------------------------------------------------------------------------------------------


def test_a_name_that_nobody_reads_is_told_with_the_nearest_that_somebody_does() -> None:
    found = only(unknown_names({".env": {"ASOF_POSTGRES_UR": "x"}}, known_names(PROJECT)))
    assert "ASOF_POSTGRES_UR is set in .env" in found.found
    assert "Did you mean ASOF_POSTGRES_URL?" in found.mend


def test_a_name_that_is_like_no_other_is_told_without_a_guess() -> None:
    assert "Did you mean" not in only(unknown_names({".env": {"ASOF_XYZZY": "x"}}, known_names(PROJECT))).mend


def test_every_setting_and_what_we_tell_our_processes_is_known() -> None:
    settings = Settings(postgres_url="postgresql://u:p@127.0.0.1/d")  # type: ignore[arg-type]
    told = {**settings.environment(), "ASOF_STARTED_AS": "x", "asof_port": "1"}
    example = [
        line[1:].partition("=")[0] for line in (PROJECT / ".env.example").read_text().splitlines() if "=" in line
    ]
    assert list(unknown_names({"": told | dict.fromkeys(example, "x")}, known_names(PROJECT))) == []


def test_python_variables_that_slow_or_mix_are_told() -> None:
    told = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/elsewhere", "PYTHONHOME": ""}
    assert [each.mend for each in hindrances(told, PROJECT)] == ["unset PYTHONDONTWRITEBYTECODE", "unset PYTHONPATH"]
    assert list(hindrances({"PYTHONPATH": str(PROJECT)}, PROJECT)) == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_that_would_get_our_own_requests_is_told(name: str) -> None:
    assert "NO_PROXY=localhost,127.0.0.1" in only(proxies({name: "http://proxy:3128"})).mend
    assert only(proxies({name: "http://proxy:3128", "NO_PROXY": "localhost"})).severity is Severity.ERROR
    for exempt in ("*", "localhost, 127.0.0.1,.corp"):
        assert list(proxies({name: "http://proxy:3128", "no_proxy": exempt})) == []
    assert list(proxies({"HTTPS_PROXY": "http://proxy:3128"})) == []


def test_what_the_env_file_says_in_vain_is_told() -> None:
    assert "ASOF_PORT" in only(overruled({"ASOF_PORT": "1", "ASOF_HOST": "a"}, {"ASOF_PORT": "2"})).found
    assert list(overruled({"ASOF_PORT": "1"}, {"ASOF_PORT": "1"})) == []


def test_an_env_file_that_is_no_text_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"ASOF_PORT=1\nASOF_ACTOR=Jos\xe9\n")
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    monkeypatch.delenv("ASOF_PORT", raising=False)
    assert (read_settings()[0].port, variables_of(file)) == (3000, {})
    assert only(readable(file)).severity is Severity.ERROR


def test_a_line_of_the_env_file_that_does_not_count_is_told_without_what_stands_there(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('ASOF_PORT=1\nASOF_INGEST_PASSWORD="secret\nASOF_HOST=h\n')
    assert "in line 2:" in only(readable(file)).found
    assert "secret" not in only(readable(file)).found
    file.write_text("# a comment\nexport ASOF_PORT=1\n\nASOF_HOST='h'\n")
    assert list(readable(file)) == []


def test_an_env_file_in_the_folder_of_the_command_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ASOF_PORT=1\n")
    assert str(tmp_path) in only(another_file(PROJECT, tmp_path)).found
    assert list(another_file(tmp_path, tmp_path)) == []
    (tmp_path / ".env").write_text("OTHER=1\n")
    assert list(another_file(PROJECT, tmp_path)) == []


def test_a_setting_that_cannot_be_read_is_a_finding_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASOF_PORT", "hunter2")
    monkeypatch.setenv("ASOF_MLFLOW_PORT", "6060")
    settings, wrong = read_settings()
    assert (settings.port, settings.mlflow_port) == (3000, 6060)
    assert "ASOF_PORT cannot be read" in only(wrong).found
    assert "hunter2" not in only(wrong).found


def test_a_configuration_of_bentomls_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert only(absent_file({"BENTOML_CONFIG": str(tmp_path / "gone")})).mend == "unset BENTOML_CONFIG"
    (tmp_path / "there").touch()
    assert list(absent_file({"BENTOML_CONFIG": str(tmp_path / "there")})) == list(absent_file({})) == []


@pytest.mark.parametrize(
    "address", ["hunter2", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h", "postgresql://h:hunter2/d"]
)
def test_an_address_that_cannot_be_read_is_a_finding_without_its_password(address: str, tmp_path: Path) -> None:
    given = given_by(Addresses(postgres=address), use_case="churn")
    found = [*given.wrong, *look_at_connection(given)]
    assert "postgres" in [each.name for each in found]
    assert "hunter2" not in repr(found)


def test_a_user_of_the_variables_is_taken_unless_the_address_names_one() -> None:
    assert with_user("http://h:1/x", "ann", "a/b@c") == "http://ann:a%2Fb%40c@h:1/x"
    assert with_user("http://bob:p@h", "ann", "secret") == "http://bob:p@h"
    assert with_user("http://h", "", "") == "http://h"


# --- packages ----------------------------------------------------------------------------------------------------


def test_this_environment_is_as_it_is_locked() -> None:
    lock = locked((PROJECT / "requirements" / "dev.txt").read_text())
    assert len(lock) > 100
    assert list(beside_lock(lock, installed())) == []


def test_missing_and_other_packages_are_told_with_one_command() -> None:
    lock = {"mlflow": "3.17.2", "feast": "0.67.0", "numpy": "2.4.6"}
    missing, other = beside_lock(lock, {"mlflow": "3.16.0", "numpy": "2.4.6"})
    assert (missing.severity, other.severity) == (Severity.ERROR, Severity.WARNING)
    assert "feast" in missing.found
    assert "mlflow 3.16.0 (not 3.17.2)" in other.found
    assert missing.mend == other.mend == "rm -f .venv/.complete && make setup"


def test_a_fastapi_that_kills_prefect_is_told_with_what_it_does() -> None:
    pin = Requirement("fastapi>=0.139,<0.151")
    found = only(broken_pins([pin], {"fastapi": "0.152.0"}))
    assert (found.name, found.severity) == ("package:fastapi", Severity.ERROR)
    assert "Prefect dies" in found.found
    assert list(broken_pins([pin], {"fastapi": "0.150.3"})) == []
    assert "not installed" in only(broken_pins([pin], {})).found


def test_a_lock_gives_what_belongs_to_this_system() -> None:
    text = (
        "a-b==1.0 \\\n    --hash=sha256:0==0\nc==2.0 ; sys_platform == 'win32' \\\nD.E==3 ; python_version >= '3' \\\n"
    )
    assert locked(text) == {"a-b": "1.0", "d-e": "3"}


def test_an_image_of_the_flows_is_held_against_its_own_lock(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "flows.txt").touch()
    assert lock_of(tmp_path).name == "flows.txt"
    (tmp_path / ".venv").mkdir()
    assert lock_of(tmp_path).name == "dev.txt"


def test_a_python_that_is_too_old_or_too_new_is_told() -> None:
    assert [bool(list(python_fits(each, ">=3.11,<3.14"))) for each in ("3.10.2", "3.11.0", "3.13.9", "3.14.0")] == [
        True,
        False,
        False,
        True,
    ]


# --- files and keys ----------------------------------------------------------------------------------------------


def test_a_secret_that_others_can_read_is_told_with_the_command() -> None:
    path = Path("/project/.env")
    found = only(exposed(Secret(path, stat.S_IFREG | 0o644, tracked=False)))
    assert (found.severity, found.mend) == (Severity.ERROR, "chmod 600 /project/.env")
    assert "mode 644" in found.found
    assert list(exposed(Secret(path, stat.S_IFREG | 0o600, tracked=False))) == []


def test_a_secret_that_git_has_is_told() -> None:
    assert "git rm --cached /project/.env" in only(exposed(Secret(Path("/project/.env"), 0o600, tracked=True))).mend


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("ASOF_POSTGRES_URL", "postgresql://u:p@h/d", True),
        ("MLFLOW_PASSWORD", "x", True),
        ("MLFLOW_PASSWORD", "", False),
        ("ASOF_TRUSTED_KEYS", "AAAA", False),
        ("ASOF_PORT", "3000", False),
    ],
)
def test_which_variables_are_secrets(name: str, value: str, secret: bool) -> None:
    assert is_secret(name, value) is secret


def test_an_env_file_without_secrets_may_be_read_by_all(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    settings = Settings(home=tmp_path / "home")
    assert secret_files(settings, tmp_path, {"ASOF_PORT": "1"}) == []
    assert secret_files(settings, tmp_path, {"A_PASSWORD": "1"}) == [tmp_path / ".env"]


def test_a_signer_whom_nobody_here_trusts_is_told() -> None:
    assert "flows keys" in only(signer_is_trusted("aa", {"bb"})).mend
    assert list(signer_is_trusted("aa", {"aa", "bb"})) == list(signer_is_trusted("", {"bb"})) == []


# --- room, ports, clocks -----------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_and_a_tight_one_a_warning() -> None:
    place = Place(("ASOF_HOME (/data)", "temporary (/tmp)"), int(50 * GB), files=10**6)
    assert list(little_disk([place])) == []
    full, tight = (only(little_disk([replace(place, free=int(free * GB))])) for free in (0.2, 2.0))
    assert (full.severity, tight.severity) == (Severity.ERROR, Severity.WARNING)
    assert "0.2 GB are free for ASOF_HOME (/data) and temporary (/tmp)" in full.found
    assert only(little_disk([replace(place, files=10)])).name == "disk-files"
    assert list(little_disk([replace(place, files=0, limits_files=False)])) == []
    assert only(little_disk([replace(place, writable=False)])).name == "disk-read-only"


def test_folders_of_one_file_system_are_told_together(tmp_path: Path) -> None:
    (place,) = places([("a", tmp_path), ("b", tmp_path / "not" / "there")])
    assert place.folders == (f"a ({tmp_path})", f"b ({tmp_path / 'not' / 'there'})")
    assert place.free > 0
    assert place.writable


def test_little_memory_is_told() -> None:
    assert only(little_memory(int(0.5 * GB))).severity is Severity.WARNING
    assert list(little_memory(int(8 * GB))) == []


def test_a_log_that_nobody_shortens_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("{}")
    sizes = logs(tmp_path / "answers.jsonl", tmp_path / "run")
    assert list(long_logs(sizes)) == []
    assert "answers.jsonl has grown to 2.0 GB" in only(long_logs(dict.fromkeys(sizes, int(2 * GB)))).found


def test_names_of_modules_that_hide_each_other_are_told(tmp_path: Path) -> None:
    given = Given(Settings(), {}, PROJECT, tmp_path)
    assert list(look_at_modules(given)) == []
    for file in ("feature_repo/json.py", "feature_repo/ours.py", "flows/training.py", "training/__init__.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    names = [each.name for each in look_at_modules(replace(given, project=tmp_path))]
    assert names == ["hidden-module:json", "hiding-module:training"]


def test_a_port_of_somebody_elses_is_told_and_ours_is_not() -> None:
    port = Port("the MLflow UI", "ASOF_MLFLOW_PORT", 5050)
    found = only(taken([replace(port, taken_by="nginx (process 7)"), port, replace(port, at=5050)]))
    assert "nginx (process 7)" in found.found
    assert "ASOF_MLFLOW_PORT" in found.mend
    assert only(taken([replace(port, at=5051)])).severity is Severity.NOTE


def test_two_servers_on_one_port_are_told() -> None:
    first, second = Port("a", "ASOF_PORT", 3000), Port("b", "ASOF_MLFLOW_PORT", 3000)
    assert "ASOF_PORT and ASOF_MLFLOW_PORT are both 3000" in only(same_twice([first, second])).found
    assert list(same_twice([first, replace(second, wanted=3001)])) == []


def test_clocks_that_are_apart_are_told() -> None:
    found = [list(clocks_apart("MLflow", seconds)) for seconds in (-0.9, 4.9, 30, -3600)]
    assert [[each.severity for each in one] for one in found] == [[], [], [Severity.WARNING], [Severity.ERROR]]
    assert "3,600 s behind" in found[3][0].found


def test_a_date_of_http_is_read() -> None:
    assert seconds_ahead("Fri, 27 Nov 2026 12:00:30 GMT", NOW) == timedelta(seconds=30).total_seconds()
    assert seconds_ahead("yesterday", NOW) is seconds_ahead(None, NOW) is None


# --- Docker ------------------------------------------------------------------------------------------------------


def test_docker_as_a_snap_is_told_unless_its_temporary_folder_is_at_home() -> None:
    program = Path("/snap/bin/docker")
    assert "TMPDIR" in only(snap(program, {"HOME": "/home/ann"})).mend
    assert list(snap(program, {"HOME": "/home/ann", "TMPDIR": "/home/ann/tmp"})) == []
    assert list(snap(Path("/usr/bin/docker"), {"HOME": "/home/ann"})) == []


@pytest.mark.parametrize(
    ("docker", "name"),
    [
        (replace(HEALTHY, engine=""), "docker-stopped"),
        (replace(HEALTHY, engine="19.03.1"), "docker-version"),
        (replace(HEALTHY, compose="1.25.0"), "compose-version"),
        (replace(HEALTHY, compose=""), "compose"),
        (replace(HEALTHY, buildx=False), "buildkit"),
    ],
)
def test_what_is_wrong_with_docker(docker: Docker, name: str) -> None:
    assert only(judged(docker, {})).name == name


def test_docker_that_fits_is_not_talked_of() -> None:
    assert list(judged(HEALTHY, {})) == []
    old = replace(HEALTHY, engine="20.10.24+dfsg1", compose="1.29.2", buildx=False)
    assert list(judged(old, {"DOCKER_BUILDKIT": "0"})) == []


# --- nothing is made, and no secret is quoted ----------------------------------------------------------------------


def given_with(tmp_path: Path, **told: object) -> Given:
    settings = Settings(_env_file=None, home=tmp_path).model_copy(update=told)
    return Given(settings, {}, PROJECT, tmp_path)


def test_a_file_of_mlflows_that_is_absent_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    given = given_with(tmp_path, mlflow_tracking_uri=f"sqlite:///{file}")
    assert only(look_at_tracking(given)).name == "mlflow-empty"
    assert not file.exists()


def test_a_parameter_that_libpq_does_not_know_is_an_error_and_not_quoted(tmp_path: Path) -> None:
    url = SecretStr("postgresql://ann:pw@127.0.0.1:1/asof?secret=1")
    found = only(look_at_connection(given_with(tmp_path, postgres_url=url)))
    assert (found.severity, "secret" in found.found) == (Severity.ERROR, False)


def test_api_keys_that_stop_a_service_at_its_start_are_told(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    assert "cannot be read" in only(look_at_api_keys(given_with(tmp_path, api_keys=file))).found
    file.write_text("# none yet\n")
    assert list(look_at_api_keys(given_with(tmp_path, api_keys=file))) == []


def test_a_home_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in only(no_folders({"ASOF_HOME": tmp_path / "file" / "home"})).found
    assert list(no_folders({"ASOF_HOME": tmp_path / "new" / "home"})) == []
