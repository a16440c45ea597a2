"""The doctor as one of PostgreSQL's login roles: it may look, and a grant too many is told until it is taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from asof.settings import PROJECT
from asof.use_cases import load
from doctor.data.loads import look_at_loads
from doctor.data.parity import look_at_parity
from doctor.given import Given
from doctor.platforms.database import look_at_connection, look_at_database, look_at_grants
from doctor.platforms.leftovers import look_at_leftovers
from roles.provision import make_databases
from tests.kits.machine.roles import Town, own_server

LOOKS = (look_at_connection, look_at_database, look_at_grants, look_at_leftovers, look_at_loads, look_at_parity)


@pytest.fixture(scope="module")
def the_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with own_server(tmp_path_factory.mktemp("town")) as made:
        make_databases(made.admin)
        yield made


def given(town: Town, role: str) -> Given:
    return Given(town.as_role(role), {}, PROJECT, Path(), embedded=False, use_cases=(load("churn"),))


@pytest.mark.parametrize("role", ["asof_ingest", "asof_training"])
def test_a_role_of_the_pipeline_may_look_at_everything(the_town: Town, role: str) -> None:
    names = [each.name for look in LOOKS for each in look(given(the_town, role))]
    assert set(names) <= {"nothing-loaded", "no-features"}


def test_a_grant_too_many_is_told_until_the_mend_is_run(the_town: Town) -> None:
    training = given(the_town, "asof_training")
    with the_town.as_admin() as admin:
        admin.autocommit = True
        admin.execute("GRANT SELECT ON public.loads TO asof_serving")
    (found,) = look_at_grants(training)
    assert "asof_serving has SELECT on table public.loads" in found.found
    assert found.mend.startswith("python -m flows databases")
    make_databases(the_town.admin)
    assert list(look_at_grants(training)) == []
