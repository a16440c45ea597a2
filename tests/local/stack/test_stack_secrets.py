"""`make secrets`: the secrets of docker-compose.yml are created once, readable by their owner only, and no settings."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.serving.access.api_keys import digest
from asof.settings import PROJECT, Settings
from asof.trust.signing_keys import public_text, signing_key, trusted_keys
from local.stack.stack_secrets import make_secrets

COMPOSE = (PROJECT / "docker-compose.yml").read_text()


def _read(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_secret_of_compose_is_created_and_no_two_are_equal(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    secrets = _read(tmp_path)

    assert set(secrets) == set(made) >= set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    assert len(set(secrets.values())) == len(secrets)
    assert all(len(value) >= 32 for value in secrets.values())
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    before = [(tmp_path / name).read_bytes() for name in (".env", ".keys/api-keys")]

    assert make_secrets(tmp_path) == ()
    assert [(tmp_path / name).read_bytes() for name in (".env", ".keys/api-keys")] == before


def test_existing_secrets_are_kept_and_missing_ones_appended(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ASOF_PORT=3333\nPOSTGRES_PASSWORD=mine")
    (tmp_path / ".env").chmod(0o644)

    assert "POSTGRES_PASSWORD" not in make_secrets(tmp_path)
    assert (tmp_path / ".env").read_text().startswith("ASOF_PORT=3333\nPOSTGRES_PASSWORD=mine\n\n#")
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_the_public_key_is_that_of_the_signing_key(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    secrets = _read(tmp_path)
    settings = Settings.model_construct(
        signing_key=None, signing_key_text=SecretStr(secrets["SIGNING_KEY_TEXT"]), trusted_keys=None
    )

    assert public_text(trusted_keys(settings)) == secrets["TRUSTED_KEYS"]
    assert signing_key(settings).sign(b"anything")


def test_the_service_knows_the_api_keys_by_their_hashes_alone(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    secrets, file = _read(tmp_path), tmp_path / ".keys" / "api-keys"

    lines = [line.split() for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines == [
        ["curl", "predict", digest(secrets["API_KEY"].encode())],
        ["prometheus", "admin", digest(secrets["METRICS_KEY"].encode())],
    ]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_key_whose_text_is_lost_is_named_with_the_command_to_remove_it(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    (tmp_path / ".env").unlink()

    with pytest.raises(ConfigurationError, match="api-keys remove curl"):
        make_secrets(tmp_path)


def test_no_secret_is_a_setting_of_this_checkout(tmp_path: Path) -> None:
    settings = {field.validation_alias or f"ASOF_{name.upper()}" for name, field in Settings.model_fields.items()}
    assert not {*make_secrets(tmp_path)} & settings
    assert all(name in COMPOSE for name in _read(tmp_path) if name != "API_KEY")


def test_every_image_and_port_can_be_replaced_and_every_image_has_a_version() -> None:
    services = yaml.safe_load(COMPOSE)["services"]
    for name, service in services.items():
        assert re.fullmatch(r"\$\{\w+_IMAGE:-[\w./-]+(:[\w.]+)?\}", service["image"]), name
        assert all(re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT:-\d+\}:\d+", port) for port in service.get("ports", ()))
    assert [name for name, service in services.items() if ":-" in service["image"].replace(":-", "", 1)] == []
