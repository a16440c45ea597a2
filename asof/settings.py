"""Settings: the only reader of the environment. Built once at each door and passed down."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from asof.errors import ConfigurationError
from asof.postgres_url import SCHEMA, address_with_session, conninfo_of, read_url, with_session
from online_store.session import VARIABLES, options

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

PROJECT = Path(__file__).resolve().parents[1]


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]
"""A point in time, always in UTC; a value without a zone is taken as UTC."""


def _of_project(path: Path) -> Path:
    return PROJECT / path


PLATFORM_DEFAULTS = {
    "BENTOML_DO_NOT_TRACK": "true",
    "DO_NOT_TRACK": "1",
    "FEAST_USAGE": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # Prefect's 20 are too few for a busy machine
    # `schedules: []` in prefect.yaml removes a schedule; Prefect 3.9.1 would keep it (prefect#23097).
    "PREFECT_DEPLOYMENTS_CLEAR_SCHEDULES_ON_EMPTY": "true",
}
"""What we set for the platforms' own processes, unless the user has set it."""

POSTGRES_URL = (
    "ASOF_POSTGRES_URL must read postgresql://user:password@host:port/database, with %40 for an @ in the password."
)

NOT_FOR_SERVERS = frozenset(
    {
        "ASOF_SIGNING_KEY",
        "ASOF_SIGNING_KEY_TEXT",
        "ASOF_ADMIN_POSTGRES_URL",
        "ASOF_INGEST_PASSWORD",
        "ASOF_TRAINING_PASSWORD",
        "ASOF_SERVING_PASSWORD",
        "ASOF_MLFLOW_PASSWORD",
        "ASOF_PREFECT_PASSWORD",
    }
)
"""What no server that we start may see: it signs nothing, and makes no roles."""


class Settings(BaseSettings):
    """Every setting, its default and one line of meaning; `.env.example` lists the same.

    The `.env` file and a relative home are the project's, whatever folder a command is started in. A Bento holds no
    `.env` file: its service is told everything by variables.
    """

    model_config = SettingsConfigDict(
        env_prefix="ASOF_",
        env_file=PROJECT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Annotated[Path, AfterValidator(_of_project)] = Field(
        PROJECT / ".asof",
        description="Where the embedded stack keeps its data, logs and artefacts; a relative one is the project's.",
    )
    use_case: str = Field("churn", description="The use case of a command that names none: a folder of asof/use_cases.")
    postgres_url: SecretStr | None = Field(
        None, description="postgresql://user:password@host:port/database; unset: the embedded PostgreSQL."
    )
    postgres_sslmode: str | None = Field(
        None, description="libpq's sslmode; default: disable on loopback, else require."
    )
    postgres_port: int = Field(5433, description="The embedded PostgreSQL's port; a taken one gives the next free.")
    online_store: str = Field(
        "online_store.store.WideOnlineStore",
        description="Feast's `type` of the online store; `postgres` is Feast's own. Change it by `flows switch-store`.",
    )
    mlflow_tracking_uri: str | None = Field(
        None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="MLflow's address, never a relative one; unset: database `mlflow` on the same PostgreSQL.",
    )
    signing_key: Annotated[Path, AfterValidator(_of_project)] | None = Field(
        None,
        description="The file of the Ed25519 key (PEM) that signs models; unset: one in ASOF_HOME, made when needed.",
    )
    signing_key_text: SecretStr | None = Field(
        None, description="The same key as text, in place of the file: its PEM in base64, on one line."
    )
    trusted_keys: str | None = Field(
        None, description="Whose models are loaded: public keys, as `flows keys` prints them; unset: the Bento's."
    )
    host: str = Field("127.0.0.1", description="The address that the background servers listen on.")
    port: int = Field(3000, description="The prediction service's port.")
    mlflow_port: int = Field(5050, description="The MLflow UI's port.")
    prefect_port: int = Field(4200, description="The Prefect server's port.")
    clock: Moment | None = Field(None, description="The moment that the service takes for now; unset: the real one.")
    lookup_timeout: float = Field(1.5, gt=0, description="Seconds that one feature lookup may take.")
    features_seconds: float = Field(
        5.0,
        gt=0,
        description="Seconds between two looks of a service at Feast's registry, whose changes it takes over.",
    )
    max_in_flight: int = Field(128, gt=0, description="Requests that one worker accepts at once; more get a 429.")
    api_keys: Annotated[Path, AfterValidator(_of_project)] | None = Field(
        None, description="The file of API keys (`flows api-keys add`) without which nobody may ask; unset: all may."
    )
    rate_per_key: float | None = Field(
        None,
        gt=0,
        description="Requests a second that one API key may make; an instance of a batch is one. Unset: any.",
    )
    rate_burst: int | None = Field(
        None, gt=0, description="Requests that an API key may make at once; unset: those of two seconds."
    )
    workers: int = Field(1, gt=0, description="Processes of the prediction service.")
    access_log: bool = Field(True, description="Whether each request leaves a line of JSON on standard output.")
    log_format: Literal["text", "json"] = Field(
        "text", description="How the prediction service logs; the image sets `json`, one object a line."
    )
    base_image: str | None = Field(
        None, description="The image that `make image` builds on, by tag or digest; unset: bentofile.yaml's."
    )
    actor: str | None = Field(None, description="Who promotes and rolls back, for the history; unset: user@host.")
    answer_log: Annotated[Path, AfterValidator(_of_project)] | None = Field(
        None,
        description="The file in which each answer leaves a line; unset: none, but `make up` sets one in ASOF_HOME.",
    )
    follow: Literal["production"] | None = Field(
        None,
        description="`production`: the service takes over what is promoted; unset: its Bento's model, if it has one.",
    )
    registry_url: SecretStr | None = Field(
        None, description="http://user:password@host:port of the MLflow to follow; default: MLFLOW_TRACKING_URI."
    )
    follow_seconds: float = Field(2.0, gt=0, description="Seconds between two looks at the registry to follow.")
    probation_seconds: float = Field(
        60.0, ge=0, description="Seconds after a swap in which the model before answers for one that fails."
    )
    follow_folder: Annotated[Path, AfterValidator(_of_project)] | None = Field(
        None,
        description="Where a following service keeps models for its next start; unset: nowhere; `make up` sets one.",
    )

    admin_postgres_url: SecretStr | None = Field(
        None, description="For `flows databases` alone: a superuser's postgresql://user:password@host:port/postgres."
    )
    ingest_password: SecretStr | None = Field(
        None, description="For `flows databases` alone: the password that PostgreSQL's role asof_ingest gets."
    )
    training_password: SecretStr | None = Field(
        None, description="For `flows databases` alone: the password that PostgreSQL's role asof_training gets."
    )
    serving_password: SecretStr | None = Field(
        None, description="For `flows databases` alone: the password that PostgreSQL's role asof_serving gets."
    )
    mlflow_password: SecretStr | None = Field(
        None, description="For `flows databases` alone: the password that PostgreSQL's role mlflow gets."
    )
    prefect_password: SecretStr | None = Field(
        None, description="For `flows databases` alone: the password that PostgreSQL's role prefect gets."
    )

    def now(self) -> datetime:
        """The moment that counts as now: the clock, or else the real time, in UTC."""
        return self.clock or datetime.now(UTC)

    def database(self, name: str | None = None) -> "URL":
        """The PostgreSQL URL, without a driver; with `name`, that of a sister database on the same server.

        Raises ConfigurationError where no server is set.
        """
        if self.postgres_url is None:
            raise ConfigurationError(
                "ASOF_POSTGRES_URL is not set, and the project's own PostgreSQL does not run: run `make up`, or set it."
            )
        url = read_url(self.postgres_url.get_secret_value(), POSTGRES_URL)
        return url.set(drivername="postgresql", database=name or url.database)

    @property
    def sslmode(self) -> str:
        """libpq's sslmode: as set, or else `disable` on loopback and `require` elsewhere."""
        loopback = self.database().host in {"127.0.0.1", "localhost", "::1"}
        return self.postgres_sslmode or ("disable" if loopback else "require")

    def conninfo(self, name: str | None = None, **session: str) -> str:
        """A libpq connection string for psycopg, with the sslmode and a connect timeout of five seconds.

        `session`: what else PostgreSQL is to set for it, by name. Raises ConfigurationError where libpq cannot read it.
        """
        return conninfo_of(self._reached(name), **{"search_path": SCHEMA} | session)

    def sqlalchemy_url(self, driver: str, name: str | None = None) -> str:
        """The same server for SQLAlchemy; the driver is written out (`psycopg` or `psycopg2`)."""
        url = with_session(self._reached(name), search_path=SCHEMA).set(drivername=f"postgresql+{driver}")
        return url.render_as_string(hide_password=False)

    def _reached(self, name: str | None) -> "URL":
        return self.database(name).update_query_dict({"sslmode": self.sslmode, "connect_timeout": "5"})

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking and registry address: MLFLOW_TRACKING_URI, or else our own database `mlflow`."""
        told = self.mlflow_tracking_uri
        return self.sqlalchemy_url("psycopg2", "mlflow") if told is None else address_with_session(told)

    @property
    def knows_registry(self) -> bool:
        """Whether the service can ask an MLflow server: it follows one, or one is set."""
        http = (self.mlflow_tracking_uri or "").startswith(("http://", "https://"))
        return bool(self.follow or self.registry_url or http)

    @property
    def registry(self) -> str:
        """The address of the MLflow server that a following service asks, with the password if there is one.

        Raises ConfigurationError where none is set that answers by HTTP.
        """
        import httpx

        told = self.registry_url.get_secret_value() if self.registry_url else self.mlflow_tracking_uri or ""
        if not told.startswith(("http://", "https://")):
            raise ConfigurationError(
                "To follow what is in Production takes an MLflow server: run `make up`, "
                "or set ASOF_REGISTRY_URL to its http:// address."
            )
        try:
            httpx.URL(told)
        except httpx.InvalidURL:  # which quotes what it could not read, and that may be the password
            raise ConfigurationError(
                "ASOF_REGISTRY_URL must read http://user:password@host:port, with %2F for a / in the password."
            ) from None
        return told

    @property
    def answers(self) -> Path:
        """Where answers are looked for: the answer log as set, or else that of the local stack."""
        return self.answer_log or self.home.absolute() / "run" / "answers.jsonl"

    @property
    def prefect_home(self) -> Path:
        """Where Prefect's servers of ours keep their database: PREFECT_HOME, or else a folder of the home."""
        return Path(os.environ.get("PREFECT_HOME") or self.home / "prefect")

    @property
    def bentoml_home(self) -> Path:
        """BentoML's stores: BENTOML_HOME, or else a folder of ASOF_HOME, so that two checkouts share none."""
        return Path(os.environ.get("BENTOML_HOME") or self.home.absolute() / "bentoml")

    def feast(self) -> dict[str, str]:
        """What feature_repo/feature_store.yaml takes from here, by the name of its variable."""
        url = self.database()
        return {
            "ASOF_FEAST_REGISTRY_URL": self.sqlalchemy_url("psycopg"),
            "ASOF_FEAST_HOST": url.host or "",
            "ASOF_FEAST_PORT": str(url.port or 5432),
            "ASOF_FEAST_DATABASE": url.database or "",
            "ASOF_FEAST_USER": url.username or "",
            "ASOF_FEAST_PASSWORD": url.password or "",
            "ASOF_FEAST_SSLMODE": self.sslmode,
            "ASOF_FEAST_ONLINE_STORE": self.online_store,
        }

    def places(self) -> dict[str, str]:
        """The part of `environment` that needs no database: where the platforms keep what is theirs."""
        uri = self.mlflow_tracking_uri
        return {
            **({"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri} if uri else {}),
            "ASOF_HOME": str(self.home),
            "BENTOML_HOME": str(self.bentoml_home),
            "PREFECT_HOME": str(self.prefect_home),
            **{name: os.environ.get(name, value) for name, value in PLATFORM_DEFAULTS.items()},
        }

    def environment(self) -> dict[str, str]:
        """What another process needs in order to see the same world: this is what `make env` prints."""
        return {
            **self.places(),
            "ASOF_POSTGRES_URL": self.database().render_as_string(hide_password=False).replace(" ", "%20"),  # for psql
            "ASOF_POSTGRES_SSLMODE": self.sslmode,
            "ASOF_ONLINE_STORE": self.online_store,
            **{name: _in_yaml(value) for name, value in self.feast().items()},
            "ASOF_FEAST_SESSION": options(),
            **VARIABLES,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_REGISTRY_URI": self.tracking_uri,
        }


def _in_yaml(value: str) -> str:
    """A literal of YAML in ASCII: Feast puts the variables into the text of its file, and reads that as YAML."""
    plain = (each if each.isascii() and each.isprintable() and each not in '"\\' else _escaped(each) for each in value)
    return f'"{"".join(plain)}"'


def _escaped(character: str) -> str:
    return f"\\U{ord(character):08x}"


def environment_of_servers() -> dict[str, str]:
    """This process's environment, as a server that it starts may have it."""
    return {name: value for name, value in os.environ.items() if name not in NOT_FOR_SERVERS}


def log_format() -> str:
    """ASOF_LOG_FORMAT alone, for whoever must be able to log that other settings are wrong."""
    return os.environ.get("ASOF_LOG_FORMAT") or "text"


def export(settings: Settings) -> None:
    """Puts `settings.environment()` into this process, for the platforms that read only the environment.

    Called at a door, before the first import of a platform.
    """
    os.environ.update(settings.environment())
