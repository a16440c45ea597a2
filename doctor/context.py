"""Context: the settings, variables and addresses that every check reads. No server is started or asked."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from asof.errors import ConfigurationError
from asof.settings import PROJECT, Settings
from asof.use_case import UseCase
from asof.use_cases import load, names
from doctor.finding import Finding, error
from local.embedded_postgres import postgres
from local.stack import background, stack
from local.stack.predictions import prediction_names


@dataclass(frozen=True)
class Addresses:
    """Addresses from the command line; they override the settings. None: from the settings or `make up`."""

    service: str | None = None
    mlflow: str | None = None
    prefect: str | None = None
    postgres: str | None = None


@dataclass(frozen=True)
class Context:
    """Input of every check. `services`, `mlflow` and `prefect` are HTTP addresses, None if there is no server.

    `embedded`: the embedded PostgreSQL is used; while it does not run, `settings.postgres_url` is None. `wrong` holds
    the findings on the settings and use cases themselves.
    """

    settings: Settings
    environment: Mapping[str, str]
    project: Path
    bentos: Path
    embedded: bool = True
    services: tuple[str, ...] = ()
    mlflow: str | None = None
    prefect: str | None = None
    use_cases: tuple[UseCase, ...] = ()
    wrong: tuple[Finding, ...] = field(default=(), repr=False)

    @property
    def file(self) -> Mapping[str, str]:
        """The variables of the project's `.env`; empty if it is absent or not UTF-8."""
        try:
            return {name: value or "" for name, value in dotenv_values(self.project / ".env").items()}
        except UnicodeDecodeError:
            return {}


def read_context(addresses: Addresses, *, use_case: str | None = None) -> Context:
    """The context of this checkout, with the addresses of the command line."""
    settings, wrong = read_settings()
    use_cases, broken = read_use_cases([use_case] if use_case else names())
    postgres_url = SecretStr(addresses.postgres) if addresses.postgres else settings.postgres_url
    uri = addresses.mlflow or settings.mlflow_tracking_uri
    settings = settings.model_copy(update={"postgres_url": postgres_url, "mlflow_tracking_uri": uri})
    settings, embedded, unreadable = _with_database(settings)
    return Context(
        settings,
        dict(os.environ),
        PROJECT,
        settings.bentoml_home,
        embedded=embedded,
        services=(addresses.service,) if addresses.service else _running_services(settings),
        mlflow=_mlflow(settings) or _running("mlflow", settings),
        prefect=_prefect(addresses, settings),
        use_cases=use_cases,
        wrong=wrong + unreadable + broken,
    )


def read_use_cases(wanted: Sequence[str]) -> tuple[tuple[UseCase, ...], tuple[Finding, ...]]:
    """The use cases that import, and a finding for each that does not. Raises ConfigurationError if one is unknown."""
    found: list[UseCase] = []
    wrong: list[Finding] = []
    for name in wanted:
        try:
            found.append(load(name))
        except ConfigurationError as broken:
            if name not in names():
                raise
            fix = f"Correct it: no command works for {name}, and the other checks leave it out."
            wrong.append(error(f"use-case:{name}", str(broken), fix))
    return tuple(found), tuple(wrong)


def read_settings() -> tuple[Settings, tuple[Finding, ...]]:
    """The settings, and a finding for each value that cannot be read; its default is used instead."""
    try:
        return _settings(Settings)
    except UnicodeDecodeError:
        file = Settings.model_config["env_file"]
        found = f"{file} is not in UTF-8, and no command can read it. The other checks ran without it."
        settings, wrong = _settings(partial(Settings, _env_file=None))
        return settings, (error("env-file", found, "Write it as UTF-8: iconv -f latin1 -t utf-8"), *wrong)


def _settings(read: Callable[..., Settings]) -> tuple[Settings, tuple[Finding, ...]]:
    try:
        return read(), ()
    except ValidationError as invalid:
        bad = {str(each["loc"][0]): each["msg"] for each in invalid.errors(include_input=False, include_url=False)}
    fields = {known.validation_alias or name: (name, known) for name, known in Settings.model_fields.items()}
    fix = "Correct it in the environment or in .env; .env.example shows each setting with its meaning."
    wrong = []
    for name, message in bad.items():
        variable = name if name.isupper() else f"ASOF_{name.upper()}"
        found = f"{variable} cannot be read: {message}. The other checks ran with its default."
        wrong.append(error(f"setting:{variable}", found, fix))
    return read(**{fields[name][0]: fields[name][1].default for name in bad}), tuple(wrong)


def _with_database(settings: Settings) -> tuple[Settings, bool, tuple[Finding, ...]]:
    """Settings with the URL of the embedded server if that is used and runs; whether it is used; findings."""
    try:
        embedded = postgres.is_embedded(settings)
        return (postgres.attach(settings) if embedded else settings), embedded, ()
    except ConfigurationError as wrong:
        found = str(wrong)
    fix = "Write it as postgresql://user:password@host:port/database, or unset it to use the embedded PostgreSQL."
    return settings.model_copy(update={"postgres_url": None}), False, (error("postgres", found, fix),)


def _prefect(addresses: Addresses, settings: Settings) -> str | None:
    address = addresses.prefect or os.environ.get("PREFECT_API_URL") or _running("prefect", settings)
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return with_user(address.rstrip("/").removesuffix("/api"), user, password) if address else None


def _mlflow(settings: Settings) -> str | None:
    uri = settings.mlflow_tracking_uri
    if uri is None or not uri.startswith(("http://", "https://")):
        return None
    return with_user(
        uri, os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    )


def with_user(address: str, user: str, password: str) -> str:
    """The address with these credentials, as the platform's client would use; unchanged if it has its own."""
    if not user or "@" in address:
        return address
    scheme, colon, rest = address.partition("://")
    return f"{scheme}{colon}{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def _running_services(settings: Settings) -> tuple[str, ...]:
    """The addresses of the prediction services of `make up`; none if ASOF_HOME is not a folder."""
    names = prediction_names(stack.run_folder(settings))
    return tuple(filter(None, (_running(name, settings) for name in names)))


def _running(name: str, settings: Settings) -> str | None:
    """The address of a server of `make up`; None if it does not run or ASOF_HOME is not a folder."""
    try:
        running = background.find(name, stack.run_folder(settings))
    except OSError:
        return None
    return running.address if running else None
