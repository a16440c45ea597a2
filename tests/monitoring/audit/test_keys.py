"""Entities of any key: of several keys, where users and shops have views of their own, integers, UUIDs, odd texts."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from asof.extracts.schema import Kind
from asof.settings import Settings, export
from monitoring.audit.findings import Finding
from tests.kits.machine.databases import database
from tests.kits.models.keyed import AS_OF, Keyed, Row, load, train_and_register
from tests.kits.monitoring.audited import Audited, first, found

PAIRS = Keyed(
    "visits",
    {"user_id": Kind.TEXT, "shop": Kind.INTEGER},
    {"users": ["user_id"], "shops": ["shop"], "both": ["shop", "user_id"]},
)
ACCOUNTS = Keyed("accounts", {"account": Kind.INTEGER}, {"usage": ["account"]})
DEVICES = Keyed("devices", {"device": Kind.UUID}, {"readings": ["device"]})
USERS = ["José", 'say "no"', "it's", "a, b", "back\\slash", "年", *(f"u{number}" for number in range(14))]
ROWS: Mapping[str, list[Row]] = {
    "visits": [(shop, user) for shop in (-3, 41, 2**53 + 1) for user in USERS],
    "accounts": [(number,) for number in (2**62 + 1, 0, -7, *range(100, 140))],
    "devices": [(str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))),) for number in range(60)],
}
SHARED = {"visits": ("shops_x", "shop", 41, 20), "accounts": ("usage_x", "account", 2**62 + 1, 1)}
SHARED["devices"] = ("readings_x", "device", ROWS["devices"][0][0], 1)
"""A feature, a value of its key, and how many entities have it."""


@pytest.fixture(scope="module")
def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Audited]]:
    """Every entity of three use cases was asked about; each has a ledger of its own, as all are called churn."""
    export(settings)
    with ExitStack() as databases:
        made = {}
        for case in (ACCOUNTS, DEVICES, PAIRS):
            load(settings, case, case.write(tmp_path_factory.mktemp("extracts") / "month", ROWS[case.name]))
            name = databases.enter_context(database(settings, f"asof_test_{case.name}_{uuid.uuid4().hex[:12]}"))
            url = SecretStr(settings.database(name).render_as_string(hide_password=False))
            own = {"clock": AS_OF, "ledger_url": url, "ledger_spool": settings.home / case.name}
            version = train_and_register(settings, case)
            made[case.name] = Audited(settings.model_copy(update=own), case.use_case, version)
            made[case.name].send(bodies(case))
        yield made


def bodies(case: Keyed) -> list[dict[str, Any]]:
    return [dict(zip(sorted(case.kinds), row, strict=True)) for row in ROWS[case.name]]


@pytest.mark.parametrize("case", [ACCOUNTS, DEVICES, PAIRS], ids=lambda case: case.name)
def test_a_wrong_value_is_that_of_every_entity_with_its_key(case: Keyed, served: Mapping[str, Audited]) -> None:
    audited, (feature, key, value, entities) = served[case.name], SHARED[case.name]
    clean = audited.audit()
    assert found(clean) == {}, clean.first
    assert (clean.entities, clean.not_audited) == (len(ROWS[case.name]), {})
    assert clean.values == 2 * len(ROWS[case.name]) * len(case.views)
    table = audited.online_table(feature)
    change = f"UPDATE {table} SET {feature} = {feature} + %s WHERE {key} = %s"
    assert audited.execute(change, 1.0, value) == 1
    audited.send(bodies(case))
    done = audited.audit()
    assert found(done) == {"serving-bug": 2 * entities}
    own = first(done, Finding.SERVING_BUG)
    assert (own.entity[key] if len(case.kinds) > 1 else own.entity) == value
    audited.execute(change, -1.0, value)


@pytest.mark.parametrize("other", ["accounts", "devices"])
def test_answers_from_before_the_use_case_had_other_keys_are_left_out_and_told(
    other: str, served: Mapping[str, Audited]
) -> None:
    visits, now = served["visits"], served[other]
    done = replace(visits, use_case=now.use_case).audit(share=0.5)
    assert (done.values, done.errors, sum(done.not_audited.values()) > 0) == (0, 0, True)
