"""An MLflow that is away is told at once, with the name of the setting and without the password."""

import socket
import time
from collections.abc import Iterator

import pytest

from asof.errors import ConfigurationError
from asof.settings import Settings
from tests.training_kit import made_up_set, small_use_case
from training.tracking import open_tracking
from training.train import train


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize(
    "address", ["http://ann:secret@127.0.0.1:{}", "postgresql+psycopg2://ann:secret@127.0.0.1:{}/m"]
)
@pytest.mark.parametrize("kind", ["silent", "closed"])
def test_an_mlflow_that_is_away_is_told_within_five_seconds(
    address: str, kind: str, silent_port: int, closed_port: int
) -> None:
    port = silent_port if kind == "silent" else closed_port
    settings = Settings().model_copy(update={"mlflow_tracking_uri": address.format(port)})
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI") as caught:
        train(settings, small_use_case("away"), made_up_set(200))
    assert time.monotonic() - started < 5
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_database_that_does_not_exist_is_told_too(settings: Settings) -> None:
    absent = settings.sqlalchemy_url("psycopg2", "no_such_database")
    with pytest.raises(ConfigurationError, match="no_such_database"):
        open_tracking(settings.model_copy(update={"mlflow_tracking_uri": absent}))
