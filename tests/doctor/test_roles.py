"""The doctor as one of PostgreSQL's login roles: it may read, and an excess grant is reported until it is revoked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from asof.settings import PROJECT
from asof.use_cases import load
from doctor.context import Context
from doctor.data.loads import check_loads
from doctor.data.parity import check_parity
from doctor.platforms.database import check_connection, check_database, check_grants
from doctor.platforms.leftovers import check_leftovers
from roles.provision import make_databases
from tests.kits.machine.roles import Town, own_server

CHECKS = (check_connection, check_database, check_grants, check_leftovers, check_loads, check_parity)


@pytest.fixture(scope="module")
def the_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with own_server(tmp_path_factory.mktemp("town")) as made:
        make_databases(made.admin)
        yield made


def context(town: Town, role: str) -> Context:
    return Context(town.as_role(role), {}, PROJECT, Path(), embedded=False, use_cases=(load("churn"),))


@pytest.mark.parametrize("role", ["asof_ingest", "asof_training"])
def test_a_role_of_the_pipeline_may_look_at_everything(the_town: Town, role: str) -> None:
    names = [each.name for check in CHECKS for each in check(context(the_town, role))]
    assert set(names) <= {"nothing-loaded", "no-features"}


def test_an_excess_grant_is_reported_until_the_fix_is_applied(the_town: Town) -> None:
    training = context(the_town, "asof_training")
    with the_town.as_admin() as admin:
        admin.autocommit = True
        admin.execute("GRANT SELECT ON public.loads TO asof_serving")
    (found,) = check_grants(training)
    assert "asof_serving has SELECT on table public.loads" in found.found
    assert found.fix.startswith("python -m flows databases")
    make_databases(the_town.admin)
    assert list(check_grants(training)) == []
