"""Settings: the only reader of the environment. Each command, flow and service builds them once and passes them on."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, NoDecode, SettingsConfigDict

from asof.errors import ConfigurationError
from asof.extracts.sources import DEFAULT_SERVER
from asof.postgres_url import SCHEMA, DatabaseUrl, address_with_session, conninfo_of, read_url, with_session
from online_store.session import VARIABLES, options

PROJECT = Path(__file__).resolve().parents[1]


Moment = Annotated[
    datetime, AfterValidator(lambda each: each.astimezone(UTC) if each.tzinfo else each.replace(tzinfo=UTC))
]
"""A point in time in UTC; a value without a zone is read as UTC."""
EngineName = Literal["here", "processes", "ray"]
"""Where ranges of entities are worked on (`training.ranges.engines`)."""
ProjectPath = Annotated[Path, AfterValidator(lambda path: PROJECT / path)]
"""A path; a relative one is in the project's folder."""

PLATFORM_DEFAULTS = {
    "BENTOML_DO_NOT_TRACK": "true",
    "DO_NOT_TRACK": "1",
    "FEAST_USAGE": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # Prefect's 20 are too few for a busy machine
    # `schedules: []` in prefect.yaml removes a schedule; Prefect 3.9.1 would keep it (prefect#23097).
    "PREFECT_DEPLOYMENTS_CLEAR_SCHEDULES_ON_EMPTY": "true",
}
"""Set for the platforms' processes, unless the user has set them."""

POSTGRES_URL_FORMAT = (
    "ASOF_POSTGRES_URL must read postgresql://user:password@host:port/database, with %40 for an @ in the password."
)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SOURCE_URL = "ASOF_SOURCE_URL"
"""The prefix of the names of the servers that are only read, which no server that we start may see."""

NOT_FOR_SERVERS = frozenset(
    {
        *("ASOF_SIGNING_KEY", "ASOF_SIGNING_KEY_TEXT", "ASOF_ADMIN_POSTGRES_URL", "ASOF_ERASURE_KEY"),
        *("ASOF_SOURCE_URL", "ASOF_SOURCE_URLS", "ASOF_OPENLINEAGE_URL", "ASOF_OPENLINEAGE_KEY"),
        *(
            f"ASOF_{role}_PASSWORD"
            for role in ("INGEST", "TRAINING", "SERVING", "LEDGER", "MONITORING", "MLFLOW", "PREFECT", "ERASURE")
        ),
    }
)
"""Secrets that no server we start may see: it signs no model, creates no role and reads no source."""


WORKER_CONNECTIONS = 9
"""That a worker of the service may have to one PostgreSQL server at a time: three for lookups and one that watches the
replicas, twice while a model or a definition is replaced; one for the registry or for outcomes."""

SERVER_MARK = "ASOF_STARTED_AS"
"""The variable that marks the processes of a server that `make up` started (`local.stack.background`)."""


class Settings(BaseSettings):
    """Every setting with its default and description; `.env.example` lists the same.

    The `.env` file and relative paths are resolved in the project's folder, wherever a command is started. A Bento has
    no `.env` file: its service is configured by environment variables alone.
    """

    model_config = SettingsConfigDict(
        env_prefix="ASOF_",
        env_file=PROJECT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: ProjectPath = PROJECT / ".asof"
    """Where the embedded stack keeps its data, logs and artefacts; a relative one is the project's."""
    use_case: str | None = None
    """The use case of a command that names none: a folder of asof/use_cases; unset: the only one."""
    postgres_url: SecretStr | None = None
    """postgresql://user:password@host:port/database; unset: the embedded PostgreSQL."""
    postgres_sslmode: str | None = None
    """libpq's sslmode; default: disable on loopback, else require."""
    postgres_read_urls: SecretStr | None = None
    """Read replicas, each as postgresql://user:password@host:port/database, separated by spaces; unset: none."""
    lookups_from: Literal["primary", "replicas"] = "primary"
    """Where the service looks features up; `replicas`: at the primary only while no replica is current."""
    replica_lag_seconds: PositiveFloat = 1.0
    """Seconds that a replica may be behind the primary; lookups leave one that is further behind."""
    postgres_port: int = 5433
    """The embedded PostgreSQL's port; if it is taken, the next free one."""
    source_url: SecretStr | None = None
    """The PostgreSQL server that queries of raw tables read, as a read-only role; unset: our own."""
    source_urls: Annotated[Mapping[str, SecretStr] | None, NoDecode] = Field(
        None, validation_alias="ASOF_SOURCE_URL_NAME"
    )
    """The same for the server that they call `name`; any other name likewise."""
    lake: ProjectPath | None = None
    """The folder of Parquet files (`flows lake`) that training sets are read from; unset: PostgreSQL."""
    engine: EngineName = "here"
    """Where ranges of entities are worked on: this process, processes of this machine, or a Ray cluster."""
    online_store: str = "online_store.store.WideOnlineStore"
    """Feast's `type` of the online store; `postgres` is Feast's own. Change it by `flows switch-store`."""
    mlflow_tracking_uri: str | None = Field(None, validation_alias="MLFLOW_TRACKING_URI")
    """MLflow's tracking URI, not a relative one; unset: database `mlflow` on the same PostgreSQL."""
    signing_key: ProjectPath | None = None
    """The Ed25519 key file (PEM) that signs models; unset: one in ASOF_HOME, created when needed."""
    signing_key_text: SecretStr | None = None
    """The same key as text, in place of the file: its PEM in base64, on one line."""
    trusted_keys: str | None = None
    """The public keys whose models are loaded, as `flows keys` prints them; unset: the Bento's."""
    erasure_key: SecretStr | None = None
    """The secret behind the hashes of erased entities; unset: one in ASOF_HOME, created by `flows erase`."""
    host: str = "127.0.0.1"
    """The address that the background servers listen on."""
    port: int = 3000
    """The prediction service's port."""
    mlflow_port: int = 5050
    """The MLflow UI's port."""
    prefect_port: int = 4200
    """The Prefect server's port."""
    console_port: int = 3100
    """The console's port."""
    console_service_url: str | None = None
    """The prediction service that the console asks; unset: that of `make up`."""
    clock: Moment | None = None
    """The moment that the service uses as now; unset: the current time."""
    lookup_timeout: PositiveFloat = 1.5
    """Seconds that one feature lookup may take."""
    features_seconds: PositiveFloat = 5.0
    """Seconds between two reads of Feast's registry by the service, which adopts its changes."""
    max_in_flight: PositiveInt = 128
    """Requests that one worker accepts at once; more get a 429."""
    api_keys: ProjectPath | None = None
    """The file of API keys (`flows api-keys add`) that requests need; unset: no key is needed."""
    rate_per_key: PositiveFloat | None = None
    """Requests per second and API key; each instance of a batch is one. Unset: no limit."""
    rate_burst: PositiveInt | None = None
    """Requests that an API key may make at once; unset: as many as in two seconds."""
    workers: PositiveInt = 1
    """Processes of the prediction service."""
    other_protocols: bool = True
    """Whether the service also answers the Open Inference Protocol (/v2) and MLflow's (/invocations)."""
    access_log: bool = True
    """Whether each request is logged as a line of JSON on standard output."""
    log_format: Literal["text", "json"] = "text"
    """How the prediction service logs; the image sets `json`, one object a line."""
    base_image: str | None = None
    """The image that `make image` builds on, by tag or digest; unset: bentofile.yaml's."""
    openlineage_url: SecretStr | None = None
    """Where the stages send OpenLineage events: http://host:port of its API, or a file; unset: nowhere."""
    openlineage_key: SecretStr | None = None
    """The API key of that address."""
    actor: str | None = None
    """Who promotes and rolls back, for the history; unset: user@host."""
    ledger: Literal["off", "process", "disk"] = "off"
    """Whether answers are kept: `process` survives a kill, `disk` a power cut; `make up` sets `process`."""
    ledger_required: bool = False
    """Whether an answer that cannot be kept is refused with a 503."""
    ledger_spool: ProjectPath | None = None
    """The folder where kept answers wait for the ledger's database; unset: one in ASOF_HOME."""
    ledger_spool_bytes: PositiveInt = 2**30
    """The greatest size of that folder; answers beyond it are not kept."""
    ledger_url: SecretStr | None = None
    """postgresql://user:password@host:port/database of the ledger; unset: ASOF_POSTGRES_URL."""
    ledger_ship: bool = True
    """Whether the service starts the shipper of its spool; False: another one is running."""
    audit_lag_minutes: NonNegativeFloat = 60.0
    """Minutes after its load in which a row may be missing online; from then on `flows audit` reports it."""
    alert_cooldown_hours: NonNegativeFloat = 24.0
    """Hours for which a closed alert stays closed, and between two retrainings because of one alert."""
    explain_seconds: PositiveFloat = 2.0
    """Seconds that the explanation of one answer may take, beyond which it is refused."""
    follow: Literal["production"] | None = None
    """`production`: the service follows the production version; unset: its Bento's model, if any."""
    registry_url: SecretStr | None = None
    """http://user:password@host:port of the MLflow to follow; default: MLFLOW_TRACKING_URI."""
    follow_seconds: PositiveFloat = 2.0
    """Seconds between two checks of the followed registry."""
    probation_seconds: NonNegativeFloat = 60.0
    """Seconds after a swap in which the previous model answers where the new one fails."""
    follow_folder: ProjectPath | None = None
    """Where a following service keeps models for its next start; unset: nowhere; `make up` sets one."""
    shadow: str | None = Field(None, pattern=r"^(newest|[1-9][0-9]{0,17})$")
    """The number of a registered version, or `newest`, that scores kept answers beside the model; unset: none."""
    shadow_share: float = Field(0.1, gt=0, le=1)
    """The share of one processor that it may use; answers beyond it are not scored."""
    admin_postgres_url: SecretStr | None = None
    """For `flows databases` only: a superuser's postgresql://user:password@host:port/postgres."""
    ingest_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role asof_ingest."""
    training_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role asof_training."""
    serving_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role asof_serving."""
    serving_connections: PositiveInt | None = None
    """For `flows databases` only: the connections that all services may have, as asof_serving; unset: as it is."""
    ledger_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role asof_ledger."""
    monitoring_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role asof_monitoring."""
    mlflow_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role mlflow."""
    prefect_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role prefect."""
    erasure_password: SecretStr | None = None
    """For `flows databases` only: the password of PostgreSQL's role asof_erasure."""

    @classmethod
    def settings_customise_sources(cls, settings_cls: type[BaseSettings], *_: Any, **sources: Any) -> tuple[Any, ...]:
        """pydantic's own sources, and the named servers in the environment and in `.env`."""
        environment, file = sources["env_settings"], sources["dotenv_settings"]
        named = {"source_urls": named_servers(file) | named_servers(environment)}
        servers = InitSettingsSource(settings_cls, named if named["source_urls"] else {})
        return sources["init_settings"], servers, environment, file

    def now(self) -> datetime:
        """`clock`, or else the current time in UTC."""
        return self.clock or datetime.now(UTC)

    def database(self, name: str | None = None) -> DatabaseUrl:
        """The PostgreSQL URL, without a driver; with `name`, that of another database on the same server.

        Raises ConfigurationError where no server is set.
        """
        if self.postgres_url is None:
            raise ConfigurationError(
                "ASOF_POSTGRES_URL is not set, and the embedded PostgreSQL is not running. Run `make up`, or set it."
            )
        url = read_url(self.postgres_url.get_secret_value(), POSTGRES_URL_FORMAT)
        return url.set(drivername="postgresql", database=name or url.database)

    def replicas(self) -> tuple[Self, ...]:
        """The settings of each read replica: the same with its URL as `postgres_url`, and no replicas.

        Raises ConfigurationError where a URL is malformed.
        """
        variable = "ASOF_POSTGRES_READ_URLS"
        refusal = POSTGRES_URL_FORMAT.replace("ASOF_POSTGRES_URL must", f"Each URL of {variable} must")
        texts = self.postgres_read_urls.get_secret_value().split() if self.postgres_read_urls else []
        for text in texts:
            conninfo_of(read_url(text, refusal), variable)
        return tuple(self.at_primary().model_copy(update={"postgres_url": SecretStr(text)}) for text in texts)

    @property
    def looks_up_at_replicas(self) -> bool:
        """Whether the service does so."""
        return self.lookups_from == "replicas" and self.postgres_read_urls is not None

    def at_primary(self) -> Self:
        """The same without replicas."""
        return self.model_copy(update={"postgres_read_urls": None})

    @property
    def sslmode(self) -> str:
        """libpq's sslmode: as set, or else `disable` on loopback and `require` elsewhere."""
        loopback = self.database().host in LOOPBACK
        return self.postgres_sslmode or ("disable" if loopback else "require")

    def conninfo(self, name: str | None = None, **session: str) -> str:
        """A libpq connection string for psycopg, with the sslmode and a connect timeout of five seconds.

        `session` are further parameters of PostgreSQL's session. Raises ConfigurationError where libpq cannot read it.
        """
        return conninfo_of(self._libpq_url(name), **{"search_path": SCHEMA} | session)

    def ledger_conninfo(self, **session: str) -> str:
        """The same for the ledger's database. Raises ConfigurationError where its URL is missing or malformed."""
        if self.ledger_url is None:
            return self.conninfo(**session)
        variable = "ASOF_LEDGER_URL"
        url = read_url(self.ledger_url.get_secret_value(), POSTGRES_URL_FORMAT.replace("ASOF_POSTGRES_URL", variable))
        sslmode = self.postgres_sslmode or ("disable" if url.host in LOOPBACK else "require")
        query = {"sslmode": sslmode, "connect_timeout": "5"} | dict(url.query)
        return conninfo_of(url.set(query=query), variable, **session)

    @property
    def ledger_folder(self) -> Path:
        """The folder of the spool."""
        return self.ledger_spool or self.home.absolute() / "ledger"

    def sqlalchemy_url(self, driver: str, name: str | None = None) -> str:
        """The SQLAlchemy URL of the same server; `driver` is `psycopg` or `psycopg2`."""
        url = with_session(self._libpq_url(name), search_path=SCHEMA).set(drivername=f"postgresql+{driver}")
        return url.render_as_string(hide_password=False)

    def _libpq_url(self, name: str | None) -> DatabaseUrl:
        return self.database(name).update_query_dict({"sslmode": self.sslmode, "connect_timeout": "5"})

    def source_conninfo(self, server: str) -> str:
        """A libpq connection string for the server that a query names, as `conninfo` is for our own.

        Raises ConfigurationError where its URL is missing or malformed.
        """
        variable = SOURCE_URL if server == DEFAULT_SERVER else f"{SOURCE_URL}_{server.upper()}"
        secret = self.source_url if server == DEFAULT_SERVER else (self.source_urls or {}).get(server)
        if secret is None and server == DEFAULT_SERVER:
            return self.conninfo()
        if secret is None:
            raise ConfigurationError(
                f"{variable} is not set: it names the server {server!r} of a query. Set it to "
                "postgresql://user:password@host:port/database."
            )
        url = read_url(secret.get_secret_value(), POSTGRES_URL_FORMAT.replace("ASOF_POSTGRES_URL", variable))
        sslmode = "disable" if url.host in LOOPBACK else "require"
        query = {"sslmode": sslmode, "connect_timeout": "5", "application_name": "asof ingest"} | dict(url.query)
        # Before PostgreSQL 12, fewer digits than these are not exact.
        return conninfo_of(url.set(query=query), variable, extra_float_digits="3")

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking and registry URI: MLFLOW_TRACKING_URI, or else our own database `mlflow`."""
        uri = self.mlflow_tracking_uri
        return self.sqlalchemy_url("psycopg2", "mlflow") if uri is None else address_with_session(uri)

    @property
    def knows_registry(self) -> bool:
        """Whether the service asks an MLflow server: it follows one, or one is set."""
        http = (self.mlflow_tracking_uri or "").startswith(("http://", "https://"))
        return bool(self.follow or self.registry_url or http)

    @property
    def registry(self) -> str:
        """The URL of the MLflow server that a following service asks, including a password if it has one.

        Raises ConfigurationError where no http:// URL is set.
        """
        import httpx

        url = self.registry_url.get_secret_value() if self.registry_url else self.mlflow_tracking_uri or ""
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(
                "Following the production version requires an MLflow server. Run `make up`, "
                "or set ASOF_REGISTRY_URL to its http:// address."
            )
        try:
            httpx.URL(url)
        except httpx.InvalidURL:  # quotes its input, which may be the password
            raise ConfigurationError(
                "ASOF_REGISTRY_URL must read http://user:password@host:port, with %2F for a / in the password."
            ) from None
        return url

    @property
    def prefect_home(self) -> Path:
        """The folder of Prefect's database: PREFECT_HOME, or else a folder of ASOF_HOME."""
        return Path(os.environ.get("PREFECT_HOME") or self.home / "prefect")

    @property
    def bentoml_home(self) -> Path:
        """The folder of BentoML's stores: BENTOML_HOME, or else one of ASOF_HOME, so that checkouts share none."""
        return Path(os.environ.get("BENTOML_HOME") or self.home.absolute() / "bentoml")

    def feast(self) -> dict[str, str]:
        """The variables of feature_repo/feature_store.yaml."""
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

    def platform_folders(self) -> dict[str, str]:
        """The part of `environment` that needs no database: the platforms' folders and defaults."""
        uri = self.mlflow_tracking_uri
        return {
            **({"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri} if uri else {}),
            "ASOF_HOME": str(self.home),
            "BENTOML_HOME": str(self.bentoml_home),
            "PREFECT_HOME": str(self.prefect_home),
            **{name: os.environ.get(name, value) for name, value in PLATFORM_DEFAULTS.items()},
        }

    def environment(self) -> dict[str, str]:
        """The variables by which another process uses the same databases and folders, as `make env` prints them."""
        return {
            **self.platform_folders(),
            "ASOF_POSTGRES_URL": self.database().render_as_string(hide_password=False),
            "ASOF_POSTGRES_SSLMODE": self.sslmode,
            "ASOF_ONLINE_STORE": self.online_store,
            **{name: _in_yaml(value) for name, value in self.feast().items()},
            "ASOF_FEAST_SESSION": options(),
            **VARIABLES,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_REGISTRY_URI": self.tracking_uri,
        }


def _in_yaml(value: str) -> str:
    """A YAML literal in ASCII: Feast substitutes variables in the text of its file before it parses that as YAML."""
    plain = (c if c.isascii() and c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
    return f'"{"".join(plain)}"'


def named_servers(source: EnvSettingsSource) -> dict[str, str]:
    """The URLs of ASOF_SOURCE_URL_<NAME>, by name in lowercase."""
    prefix = f"{SOURCE_URL}_".casefold()
    values = {name.casefold(): value for name, value in source.env_vars.items() if value}
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def with_engine(settings: Settings, engine: str | None) -> Settings:
    """The settings with another engine (None: the same)."""
    return settings.model_copy(update={"engine": engine}) if engine else settings


def environment_of_servers() -> dict[str, str]:
    """This process's environment without the secrets that a server must not see."""
    hidden = (name for name in os.environ if name in NOT_FOR_SERVERS or name.upper().startswith(SOURCE_URL))
    secrets = frozenset(hidden)
    return {name: value for name, value in os.environ.items() if name not in secrets}


def log_format() -> str:
    """ASOF_LOG_FORMAT alone, so that errors in other settings can be logged."""
    return os.environ.get("ASOF_LOG_FORMAT") or "text"


def export(settings: Settings) -> None:
    """Sets `settings.environment()` in this process, before the first import of a platform that reads it."""
    os.environ.update(settings.environment())
