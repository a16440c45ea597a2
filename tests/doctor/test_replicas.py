"""The doctor's look at read replicas: a real one, one that is none, and one that does not answer."""

import pytest
from pydantic import SecretStr

from asof.settings import PROJECT, Settings
from doctor.context import Context
from doctor.finding import Finding, Severity
from doctor.platforms.replicas import check_replicas
from tests.kits.machine.replica import Replica


def examined(settings: Settings) -> list[Finding]:
    return list(check_replicas(Context(settings, {}, PROJECT, settings.bentoml_home)))


def test_each_replica_is_looked_at(settings: Settings, replica: Replica) -> None:
    (found,) = examined(replica.read_by(settings))
    assert (found.severity, "hot_standby_feedback off" in found.found) == (Severity.NOTE, True)
    replica.kill()
    (found,) = examined(settings.model_copy(update={"postgres_read_urls": replica.url(settings)}))
    assert (found.severity, "is not read: connection" in found.found) == (Severity.WARNING, True)


@pytest.mark.parametrize("urls", ["", "postgresql://u:secret@h"])
def test_what_is_no_replica_is_an_error(settings: Settings, urls: str) -> None:
    url = settings.database().render_as_string(hide_password=False)
    (found,) = examined(settings.model_copy(update={"postgres_read_urls": SecretStr(urls or url)}))
    assert found.severity == Severity.ERROR
    assert "ASOF_POSTGRES_READ_URLS" in found.found
    assert "secret" not in found.found
