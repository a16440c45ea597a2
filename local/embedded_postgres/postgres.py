"""The PostgreSQL that everything runs on: Settings in, Settings with a server that answers out.

With ASOF_POSTGRES_URL set that server is used and nothing is embedded. Without it, a server of our own listens on
loopback; a second start attaches to it, and after a crash it comes back with its data.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from asof.errors import ConfigurationError
from asof.files import locked
from asof.home import prepare_home, private_file, private_folder
from asof.settings import Settings
from local.embedded_postgres.binaries import Binaries, find_binaries, within_reach
from local.embedded_postgres.cluster import HOST, PASSWORD_FILE, SHELF, USER, Cluster
from local.embedded_postgres.databases import check_databases
from local.embedded_postgres.system_account import account_for
from local.ports import free_ports, is_free


@dataclass(frozen=True)
class Server:
    """The embedded server: where it listens, its data, its programs; `url` and `port` only while it runs."""

    running: bool
    url: SecretStr | None
    port: int | None
    pid: int | None
    data: Path
    binaries: Path | None


def ensure(settings: Settings) -> Settings:
    """The same settings with the URL of a PostgreSQL that answers and holds our databases; the home is there, too.

    Raises ConfigurationError where ASOF_HOME cannot be used, ASOF_POSTGRES_URL names a server that does not answer, or
    ours does not start.
    """
    prepare_home(settings)
    if is_embedded(settings):
        start(settings)
        settings = attach(settings)
    check_databases(settings)
    return settings


def attach(settings: Settings) -> Settings:
    """The settings with the embedded server's URL, or without one while it does not run; starts nothing.

    A database of its own on our server stays the one that is meant.
    """
    url = status(settings).url
    if settings.postgres_url and url:
        meant = make_url(url.get_secret_value()).set(database=settings.database().database)
        url = SecretStr(meant.render_as_string(hide_password=False))
    return settings.model_copy(update={"postgres_url": url})


def is_embedded(settings: Settings) -> bool:
    """Whether our own server is meant: no URL is set, or the one that `make env` printed for it."""
    if settings.postgres_url is None:
        return True
    secret, url = settings.home.resolve() / PASSWORD_FILE, settings.database()
    return url.host == HOST and os.access(secret, os.R_OK) and url.password == secret.read_text()


def start(settings: Settings, binaries: Binaries | None = None) -> Server:
    """Starts the embedded server, or attaches to the running one; `binaries`: use these programs.

    Two callers at once get the same server. Raises ConfigurationError with the end of its log where it does not start.
    """
    with _locked(settings) as cluster:
        if cluster.pid is None:
            found = within_reach(binaries or find_binaries(cluster.major), cluster.account, SHELF)
            cluster.create(found)
            _launch(cluster, found, settings.postgres_port)
        return _describe(cluster)


def stop(settings: Settings) -> Server:
    """Stops the embedded server, if it runs; its data stays."""
    with _locked(settings) as cluster:
        cluster.halt()
        return _describe(cluster)


def status(settings: Settings) -> Server:
    """What is known of the embedded server; starts and changes nothing."""
    return _describe(_cluster(settings))


def remove(settings: Settings) -> None:
    """Stops the embedded server and deletes its data and its password."""
    with _locked(settings) as cluster:
        cluster.halt("immediate")
        shutil.rmtree(cluster.place, ignore_errors=True)
        cluster.password_file.unlink(missing_ok=True)


def _cluster(settings: Settings) -> Cluster:
    home = settings.home.resolve()
    inside, outside = home / "postgres", SHELF / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    account = account_for(inside)
    reached = account.uid is None or account.can_enter(_least_to_enter(home))
    if (inside / "data").is_dir() and not reached:
        raise ConfigurationError(f"{inside} holds data, but the user that runs PostgreSQL can no longer enter {home}.")
    if (inside / "data").is_dir() or (reached and not (outside / "data").is_dir()):
        return Cluster(home, inside, account)
    return Cluster(home, outside, account_for(outside))


def _least_to_enter(home: Path) -> Path:
    """The folder that the server's user must be able to enter by itself: through a home of ours it is let."""
    if home.is_dir() and home.stat().st_uid != os.geteuid():
        return home
    return next(each for each in home.parents if each.is_dir())


@contextmanager
def _locked(settings: Settings) -> Iterator[Cluster]:
    home = private_folder(settings.home.resolve())
    with locked(private_file(home / "postgres.lock")):
        cluster = _cluster(settings)
        if cluster.place.parent == home:
            cluster.account.be_let_through(home)
        yield cluster


def _launch(cluster: Cluster, binaries: Binaries, preferred: int) -> None:
    """After a crash the old port comes first: whoever used the server will look for it there."""
    if cluster.port and is_free(HOST, cluster.port):
        preferred = cluster.port
    for port in free_ports(HOST, preferred, "the embedded PostgreSQL"):
        if cluster.launch(binaries, port):
            return
        if is_free(HOST, port):  # so the port was not the trouble
            break
    raise ConfigurationError(f"The embedded PostgreSQL did not start. {cluster.log} ends:\n{cluster.last_words()}")


def _describe(cluster: Cluster) -> Server:
    pid = cluster.pid
    if pid is None:
        return Server(False, None, None, None, cluster.data, cluster.programs)
    url = URL.create("postgresql", USER, cluster.password(), HOST, cluster.port, USER)
    secret = SecretStr(url.render_as_string(hide_password=False))
    return Server(True, secret, cluster.port, pid, cluster.data, cluster.programs)
