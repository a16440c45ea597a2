"""The PostgreSQL server of the settings: the one of ASOF_POSTGRES_URL, or else an embedded one on loopback.

A second start attaches to the running server; after a crash it starts again with its data.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import SecretStr

from asof.errors import ConfigurationError
from asof.files import locked
from asof.home import prepare_home, private_file, private_folder
from asof.postgres_url import read_url
from asof.settings import POSTGRES_URL_FORMAT, Settings
from local.embedded_postgres.binaries import Binaries, find_binaries, reachable_binaries
from local.embedded_postgres.cluster import HOST, PASSWORD_FILE, SHARED_FOLDER, USER, Cluster
from local.embedded_postgres.system_account import account_for
from local.ports import free_ports, is_free


@dataclass(frozen=True)
class Server:
    """State of the embedded server; `url`, `port` and `pid` are None if it is not running."""

    running: bool
    url: SecretStr | None
    port: int | None
    pid: int | None
    data: Path
    binaries: Path | None


def ensure(settings: Settings) -> Settings:
    """Settings with the URL of a PostgreSQL that answers and has our databases; creates ASOF_HOME.

    Raises ConfigurationError if ASOF_HOME is unusable, the server of ASOF_POSTGRES_URL does not answer, or the embedded
    one does not start.
    """
    from local.embedded_postgres.databases import check_databases

    prepare_home(settings)
    if is_embedded(settings):
        start(settings)
        settings = attach(settings)
    check_databases(settings)
    return settings


def attach(settings: Settings) -> Settings:
    """Settings with the embedded server's URL, or None if it is not running; starts nothing.

    A database that `postgres_url` names on the embedded server is kept.
    """
    url = status(settings).url
    if settings.postgres_url and url:
        named = read_url(url.get_secret_value(), POSTGRES_URL_FORMAT).set(database=settings.database().database)
        url = SecretStr(named.render_as_string(hide_password=False))
    return settings.model_copy(update={"postgres_url": url})


def is_embedded(settings: Settings) -> bool:
    """Whether the settings use the embedded server: no URL, or the one that `make env` printed."""
    if settings.postgres_url is None:
        return True
    secret, url = settings.home.resolve() / PASSWORD_FILE, settings.database()
    return url.host == HOST and os.access(secret, os.R_OK) and url.password == secret.read_text()


def start(settings: Settings, binaries: Binaries | None = None) -> Server:
    """Starts the embedded server unless it is running; `binaries` overrides the programs.

    Concurrent callers get the same server. Raises ConfigurationError with the end of its log if it does not start.
    """
    with _locked(settings) as cluster:
        if cluster.pid is None:
            found = reachable_binaries(binaries or find_binaries(cluster.major), cluster.account, SHARED_FOLDER)
            cluster.create(found)
            _launch(cluster, found, settings.postgres_port)
        return _describe(cluster)


def stop(settings: Settings) -> Server:
    """Stops the embedded server; its data stays."""
    with _locked(settings) as cluster:
        cluster.stop()
        return _describe(cluster)


def status(settings: Settings) -> Server:
    """State of the embedded server; changes nothing."""
    return _describe(_cluster(settings))


def remove(settings: Settings) -> None:
    """Stops the embedded server and deletes its data and its password."""
    with _locked(settings) as cluster:
        cluster.stop("immediate")
        shutil.rmtree(cluster.folder, ignore_errors=True)
        cluster.password_file.unlink(missing_ok=True)


def _cluster(settings: Settings) -> Cluster:
    home = settings.home.resolve()
    inside, outside = home / "postgres", SHARED_FOLDER / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    account = account_for(inside)
    reached = account.uid is None or account.can_enter(_nearest_foreign_folder(home))
    if (inside / "data").is_dir() and not reached:
        raise ConfigurationError(
            f"{inside} holds data, but the user that runs PostgreSQL cannot enter {home}: restore its permissions."
        )
    if (inside / "data").is_dir() or (reached and not (outside / "data").is_dir()):
        return Cluster(home, inside, account)
    return Cluster(home, outside, account_for(outside))


def _nearest_foreign_folder(home: Path) -> Path:
    """The folder that the server's user must be able to enter; our own home is opened for it."""
    if home.is_dir() and home.stat().st_uid != os.geteuid():
        return home
    return next(each for each in home.parents if each.is_dir())


@contextmanager
def _locked(settings: Settings) -> Iterator[Cluster]:
    home = private_folder(settings.home.resolve())
    with locked(private_file(home / "postgres.lock")):
        cluster = _cluster(settings)
        if cluster.folder.parent == home:
            cluster.account.allow_through(home)
        yield cluster


def _launch(cluster: Cluster, binaries: Binaries, preferred: int) -> None:
    """Starts the server on a free port; after a crash first on its old port, which clients know."""
    if cluster.port and is_free(HOST, cluster.port):
        preferred = cluster.port
    for port in free_ports(HOST, preferred, "the embedded PostgreSQL"):
        if cluster.launch(binaries, port):
            return
        if is_free(HOST, port):  # the port was not the problem
            break
    raise ConfigurationError(f"The embedded PostgreSQL did not start. {cluster.log} ends:\n{cluster.log_tail()}")


def _describe(cluster: Cluster) -> Server:
    pid = cluster.pid
    if pid is None:
        return Server(False, None, None, None, cluster.data, cluster.programs)
    secret = SecretStr(f"postgresql://{USER}:{quote(cluster.password(), safe='')}@{HOST}:{cluster.port}/{USER}")
    return Server(True, secret, cluster.port, pid, cluster.data, cluster.programs)
