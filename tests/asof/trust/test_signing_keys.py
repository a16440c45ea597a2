"""The signing key as a file or as text, trusted keys, and that no server gets the secrets."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.settings import NOT_FOR_SERVERS, Settings
from asof.trust.signing_keys import key_id, public_text, signing_key, trusted_keys
from local.stack import background, services
from local.stack.background import Service

KEY, STRANGER = Ed25519PrivateKey.generate().public_key(), Ed25519PrivateKey.generate().public_key()
KEYS = {key_id(KEY): KEY}


def pem(key: Any = None) -> bytes:
    return (key or Ed25519PrivateKey.generate()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def settings(tmp_path: Path, text: str | None = None, **more: Any) -> Settings:
    secret = SecretStr(text) if text is not None else None
    return Settings(_env_file=None, home=tmp_path, signing_key_text=secret, trusted_keys=None, **more)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """Without a key yet."""
    return settings(tmp_path / "home")


def test_a_key_as_text_signs_as_the_same_key_in_a_file_does(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem())
    text = base64.b64encode(file.read_bytes()).decode()
    by_file, by_text = settings(tmp_path, signing_key=file), settings(tmp_path, text)
    assert signing_key(by_text).sign(b"x") == signing_key(by_file).sign(b"x")
    assert public_text(trusted_keys(by_text)) == public_text(trusted_keys(by_file))
    assert not (tmp_path / "keys").exists()


def test_a_file_and_a_text_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="both set"):
        signing_key(settings(tmp_path, base64.b64encode(pem()).decode(), signing_key=tmp_path / "key.pem"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not base64!", "base64 -w0"),
        ("not ASCII: é", "base64 -w0"),
        (base64.b64encode(b"no key at all").decode(), "cannot be read"),
        (base64.b64encode(pem(ec.generate_private_key(ec.SECP256R1()))).decode(), "is not an Ed25519 key"),
    ],
)
def test_a_text_that_is_no_such_key_is_not_quoted(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        signing_key(settings(tmp_path, text))
    assert "ASOF_SIGNING_KEY_TEXT" in str(raised.value)
    assert text not in str(raised.value)


def test_a_key_file_that_is_absent_or_of_another_type_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    with pytest.raises(ConfigurationError, match=r"key\.pem cannot be read"):
        signing_key(settings(tmp_path, signing_key=file))
    file.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ConfigurationError, match="is not an Ed25519 key"):
        signing_key(settings(tmp_path, signing_key=file))


@pytest.mark.parametrize("text", ["nonsense", "AAAA", "!!!", base64.b64encode(pem()).decode(), "é"])
def test_an_invalid_trusted_key_is_refused_and_not_quoted(own: Settings, text: str) -> None:
    """It may be the private key."""
    with pytest.raises(ConfigurationError, match=r"ASOF_TRUSTED_KEYS .* is no public Ed25519 key") as raised:
        trusted_keys(own.model_copy(update={"trusted_keys": f"{public_text(KEYS)},{text}"}))
    assert text not in str(raised.value)


def test_the_text_shows_in_no_repr(tmp_path: Path) -> None:
    text = base64.b64encode(pem()).decode()
    assert text not in repr(settings(tmp_path, text))


def test_no_server_gets_the_secrets_that_sign_or_create_roles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the settings nor by the environment that it is started in."""
    bento = tmp_path / "bentos" / "b" / "1"
    bento.mkdir(parents=True)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    for name in ("ASOF_SIGNING_KEY", "ASOF_ADMIN_POSTGRES_URL", "ASOF_SERVING_PASSWORD", "ASOF_MLFLOW_PASSWORD"):
        monkeypatch.setenv(name, f"the-secret-{name}")
    monkeypatch.setenv("ASOF_SIGNING_KEY_TEXT", "the-secret-text")
    found = Settings(_env_file=None, home=tmp_path, postgres_url=SecretStr("postgresql://a:b@127.0.0.1/c"))
    service = services.prediction_service(found, "b:1")
    assert service
    given: dict[str, str] = {}
    monkeypatch.setattr(background, "_spawn", lambda words, environment, log: given.update(environment) or 0)
    for each in (service, Service("other", "another", "x", (), 1, "/")):
        given.clear()
        background.launch(each, tmp_path, ("127.0.0.1", 1))
        assert given[background.MARK]
        assert "the-secret" not in str(given)
    assert os.environ["ASOF_SIGNING_KEY_TEXT"] == "the-secret-text"


def test_servers_get_no_secret_but_the_addresses_that_a_service_requests() -> None:
    secret = {
        f"ASOF_{name.upper()}" for name, each in Settings.model_fields.items() if each.annotation == SecretStr | None
    }
    addresses = {"ASOF_POSTGRES_URL", "ASOF_POSTGRES_READ_URLS", "ASOF_REGISTRY_URL", "ASOF_LEDGER_URL"}
    assert secret - NOT_FOR_SERVERS == addresses


def test_a_service_gets_unset_variables_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be in the environment that it is started in: the demo asks its own service without a key."""
    (tmp_path / "bentos" / "b" / "1").mkdir(parents=True)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    monkeypatch.setenv("ASOF_API_KEYS", str(tmp_path / "keys"))
    found = Settings(_env_file=None, home=tmp_path, postgres_url=SecretStr("postgresql://a:b@127.0.0.1/c"))
    for keys in (found.api_keys, None):
        service = services.prediction_service(found.model_copy(update={"api_keys": keys}), "b:1")
        assert service
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        assert Settings(_env_file=None).api_keys == keys


def test_a_machine_without_a_key_makes_one_that_only_its_owner_can_read(own: Settings) -> None:
    assert key_id(signing_key(own).public_key()) == key_id(signing_key(own).public_key())
    files = list((own.home / "keys").iterdir())
    assert [file.name for file in files] == ["signing.pem"]
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert (own.home / "keys").stat().st_mode & 0o777 == 0o700


def test_processes_that_need_a_first_key_at_once_get_the_same_one(own: Settings) -> None:
    readers = []
    for _ in range(8):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, key_id(signing_key(own).public_key()).encode())
            os._exit(0)
        os.close(write)
        readers.append(read)
    assert {os.read(read, 100).decode() for read in readers} == {key_id(signing_key(own).public_key())}


def test_trusted_keys_come_from_the_setting_then_the_bento_then_our_own_key(own: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"set ASOF_TRUSTED_KEYS to what `python -m flows keys` prints"):
        trusted_keys(own)
    text = public_text(KEYS)
    assert trusted_keys(own, text).keys() == KEYS.keys()
    ours = key_id(signing_key(own).public_key())
    assert trusted_keys(own).keys() == {ours}
    assert trusted_keys(own, text).keys() == KEYS.keys()
    named = own.model_copy(update={"trusted_keys": f"{public_text({'': STRANGER})}, {text}"})
    assert trusted_keys(named, text).keys() == {key_id(STRANGER), *KEYS}
