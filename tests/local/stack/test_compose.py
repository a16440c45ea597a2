"""docker-compose.yml, and the scripts of its backup, before anything runs: the ledger's part of the stack."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from asof.settings import PROJECT, Settings

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SPOOL = "/var/spool/asof"
DATABASES = ("asof", "mlflow", "prefect")
FAKE = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
    *psql*) echo 0 ;;
    *pg_restore*) cat > /dev/null ;;
    *) echo "content of $*" ;;
esac
"""
OF_SHIPPER = """
import sys
import asof.serving.ledger.__main__, asof.ledger.spool.shipper, asof.ledger.spool.copy_rows
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_every_variable_of_ours_is_a_setting() -> None:
    known = {f"ASOF_{name.upper()}" for name in Settings.model_fields}
    names = {
        name for service in SERVICES.values() for name in service.get("environment", {}) if name.startswith("ASOF_")
    }
    assert names - known == set()


def test_the_service_keeps_its_answers_and_leaves_shipping_to_the_shipper() -> None:
    environment = SERVICES["prediction"]["environment"]
    assert environment["ASOF_LEDGER"] == "${LEDGER-process}"
    assert environment["ASOF_LEDGER_SHIP"] == "False"
    assert SERVICES["shipper"]["image"] == SERVICES["prediction"]["image"]
    for name in ("prediction", "shipper"):
        assert SERVICES[name]["environment"]["ASOF_LEDGER_SPOOL"] == SPOOL
        assert f"spool:{SPOOL}" in SERVICES[name]["volumes"]
    assert SPOOL in (PROJECT / "deploy" / "image" / "Dockerfile.j2").read_text()  # a volume takes its owner from there


def test_only_the_shipper_and_the_job_of_roles_know_the_ledgers_password() -> None:
    knowing = {name for name, service in SERVICES.items() if "LEDGER_DB_PASSWORD" in json.dumps(service)}
    assert knowing == {"shipper", "databases"}
    assert "postgresql://asof_ledger:" in SERVICES["shipper"]["environment"]["ASOF_POSTGRES_URL"]
    assert SERVICES["shipper"]["networks"] == ["ledger"]
    assert COMPOSE["networks"]["ledger"] == {"internal": True}


def test_only_the_exporter_and_the_job_of_roles_know_the_password_of_monitoring() -> None:
    knowing = {name for name, service in SERVICES.items() if "MONITORING_DB_PASSWORD" in json.dumps(service)}
    assert knowing == {"exporter", "databases"}
    assert SERVICES["exporter"]["networks"] == ["figures", "metrics"]
    assert SERVICES["exporter"]["profiles"] == SERVICES["prometheus"]["profiles"]
    assert "ports" not in SERVICES["exporter"]
    assert {name for name, service in SERVICES.items() if "figures" in service.get("networks", ())} == {
        "postgres",
        "exporter",
    }


def test_the_tables_owner_is_only_in_jobs_that_no_up_leaves_running() -> None:
    knowing = {
        name for name, service in SERVICES.items() if "ASOF_ADMIN_POSTGRES_URL" in service.get("environment", {})
    }
    assert knowing == {"databases", "ledger-keep"}
    assert SERVICES["ledger-keep"]["profiles"] == ["retention"]
    assert SERVICES["ledger-keep"]["restart"] == "no"
    for name in ("ledger-keep", "erasure"):  # the paths in `ledger.exports` are those of both
        assert "archive:/var/lib/archive" in SERVICES[name]["volumes"]
    assert "/var/lib/archive" in (PROJECT / "deploy" / "flows" / "Dockerfile").read_text()


def test_the_shipper_needs_no_package_of_ours_that_the_image_has_not() -> None:
    done = subprocess.run([sys.executable, "-c", OF_SHIPPER], cwd=PROJECT, capture_output=True, text=True, check=True)
    ours = {path.parent.name for path in PROJECT.glob("*/__init__.py")}
    included = yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["include"]
    assert {f"/{name}/**/*.py" for name in ours.intersection(done.stdout.split())} <= set(included)


@pytest.mark.parametrize(
    ("state", "option", "code", "said"),
    [
        ({"looked_at": 0, "error": ""}, "", 0, "ok"),
        ({"looked_at": -60, "error": ""}, "", 1, "no report for 60 s"),
        ({"looked_at": 0, "error": "connection refused"}, "", 1, "connection refused"),
        ({"looked_at": 0, "error": "connection refused"}, "--alive", 0, "ok"),
        ({"looked_at": -60, "error": ""}, "--alive", 1, "no report for 60 s"),
        (None, "", 1, "FileNotFoundError"),
    ],
)
def test_the_shippers_health_follows_its_reports(
    tmp_path: Path, state: dict[str, Any] | None, option: str, code: int, said: str
) -> None:
    if state is not None:
        state["looked_at"] += time.time()
        (tmp_path / "shipper.json").write_text(json.dumps(state))
    words = [sys.executable, "-I", "-S", PROJECT / "deploy" / "image" / "shipping.py", option]
    done = subprocess.run(words, env={"ASOF_LEDGER_SPOOL": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout


@pytest.fixture
def world(tmp_path: Path) -> dict[str, str]:
    """A `compose` that only notes what it is asked."""
    fake = tmp_path / "compose"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    secrets = tmp_path / "env"
    secrets.write_text("SIGNING_KEY_TEXT=a\nTRUSTED_KEYS=b\nMLFLOW_ADMIN_PASSWORD=c\n")
    variables = {
        "COMPOSE": str(fake),
        "CALLS": str(tmp_path / "calls"),
        "ENV_FILE": str(secrets),
        "KEYS": str(tmp_path),
    }
    return {**os.environ, **variables}


def script(world: dict[str, str], name: str, folder: Path) -> list[str]:
    """What it asks of compose."""
    calls = Path(world["CALLS"])
    calls.unlink(missing_ok=True)
    words = ["sh", str(PROJECT / "deploy" / f"{name}.sh"), str(folder)]
    done = subprocess.run(words, env=world, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return calls.read_text().splitlines()


def place(calls: list[str], *words: str) -> int:
    (found,) = (number for number, call in enumerate(calls) if all(word in call for word in words))
    return found


def test_a_backup_has_the_spool_before_the_database_and_the_old_months_after_it(
    world: dict[str, str], tmp_path: Path
) -> None:
    calls = script(world, "backup", tmp_path / "first")
    database = place(calls, "pg_dump", "asof")
    assert place(calls, "shipper", "tar") < database < place(calls, "ledger-keep", "tar")
    sums = (tmp_path / "first" / "SHA256SUMS").read_text()
    for name in ("spool.tar", "archive.tar"):
        digest = hashlib.sha256((tmp_path / "first" / name).read_bytes()).hexdigest()
        assert f"{digest}  {name}" in sums


def test_a_restore_brings_them_back_and_one_of_before_the_ledger_does_without(
    world: dict[str, str], tmp_path: Path
) -> None:
    script(world, "backup", tmp_path / "first")
    calls = script(world, "restore", tmp_path / "first")
    last = max(number for number, call in enumerate(calls) if "pg_restore" in call)
    assert last < place(calls, "shipper", "tar")
    assert last < place(calls, "ledger-keep", "tar")
    for name in ("spool.tar", "archive.tar"):
        (tmp_path / "first" / name).unlink()
    sums = tmp_path / "first" / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(keepends=True) if ".dump" in line))
    assert not [call for call in script(world, "restore", tmp_path / "first") if "ledger-keep" in call]


def test_the_ledgers_metrics_are_on_the_dashboard_and_have_alarms() -> None:
    metrics = set(re.findall(r'"(asof_ledger_\w+)"', (PROJECT / "asof/serving/logs/metrics.py").read_text()))
    board = json.loads((PROJECT / "deploy/grafana/dashboards/service.json").read_text())
    shown = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    rules = yaml.safe_load((PROJECT / "deploy/prometheus/rules.yml").read_text())["groups"]
    watched = " ".join(rule["expr"] for group in rules for rule in group["rules"])
    assert {name for name in metrics if name not in shown} == {"asof_ledger_shipped"}
    assert {name for name in metrics if name not in watched} == {"asof_ledger_shipped", "asof_ledger_answers"}
    asked = {name.removesuffix("_total") for name in re.findall(r"asof_ledger_\w+", shown + watched)}
    assert asked <= metrics


def test_the_packages_that_the_stack_runs_are_in_the_images() -> None:
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    commands = [word for each in SERVICES.values() for part in ("command", "entrypoint") for word in each.get(part, ())]
    modules = {commands[place + 1].split(".")[0] for place, word in enumerate(commands) if word == "-m"}
    assert {"flows", "console", "monitoring"} <= modules
    assert modules - allowed == set()
