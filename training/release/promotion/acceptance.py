"""Accepting a changed feature definition as equivalent to the one that the version in Production was trained on.

A pair of definitions is accepted, not the view: a third definition has to be accepted again.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from asof.errors import ConfigurationError, ModelError
from asof.features.definition_records import ACCEPTED
from asof.features.feature_contract import FeatureContract
from asof.features.feature_definition import changed_lines, digest_of
from asof.features.feature_store import definition_records, registered_contract
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.owned_tables import create_if_absent, table_exists
from training.data.snapshots.provenance import actor
from training.release.registry.versions import require_production

CREATE = f"""
CREATE TABLE {ACCEPTED} (
    view text NOT NULL,
    trained text NOT NULL,
    registered text NOT NULL,
    changes text NOT NULL,
    model text NOT NULL,
    version text NOT NULL,
    reason text NOT NULL,
    who text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (view, trained, registered)
)"""
INSERT = f"""
INSERT INTO {ACCEPTED} (view, trained, registered, changes, model, version, reason, who)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""  # noqa: S608


@dataclass(frozen=True)
class Acceptance:
    """An accepted pair: the digests of the trained and of the registered definition, and the lines that differ."""

    view: str
    trained: str
    registered: str
    changes: str
    model: str
    version: str
    reason: str
    who: str
    accepted_at: datetime


def accept_definition(settings: Settings, use_case: UseCase, view: str, *, reason: str) -> list[Acceptance]:
    """Accepts the view's registered definition, and those it was materialised with, for the version in Production.

    Returns the accepted pairs. Raises ModelError where nothing is in Production, where that version records no
    definition of the view, and where no definition differs.
    """
    version = require_production(settings, use_case)
    contract = version.facts.contract
    if view not in contract.definitions:
        raise ModelError(
            f"{version.name} version {version.version} records no definition of {view!r}: "
            + (f"choose one of {', '.join(contract.definitions)}." if contract.definitions else "train again.")
        )
    others = _changed_definitions(settings, contract, view)
    own = contract.definitions[view]
    with psycopg.connect(settings.conninfo()) as connection:
        create_if_absent(connection, ACCEPTED, CREATE)
        for other in others:
            pair = (view, digest_of(own), digest_of(other), changed_lines(own, other))
            connection.execute(INSERT.encode(), (*pair, version.name, version.version, reason, actor(settings)))
    digests = {digest_of(other) for other in others}
    return [each for each in acceptances(settings) if each.view == view and each.registered in digests]


def acceptances(settings: Settings) -> list[Acceptance]:
    """All accepted pairs, the newest first."""
    with psycopg.connect(settings.conninfo()) as connection:
        if not table_exists(connection, ACCEPTED):
            return []
        with connection.cursor(row_factory=class_row(Acceptance)) as cursor:
            return cursor.execute(f"SELECT * FROM {ACCEPTED} ORDER BY accepted_at DESC".encode()).fetchall()  # noqa: S608


def _changed_definitions(settings: Settings, contract: FeatureContract, view: str) -> list[str]:
    """The definitions that differ from the contract's and are not accepted. Raises ModelError where there is none."""
    registered = registered_contract(settings, contract.feature_service)
    records = definition_records(settings, contract)
    if registered is None:
        raise ConfigurationError(
            f"The registry has no feature service {contract.feature_service!r}: run `feast apply`."
        )
    known = [registered.definitions.get(view, ""), *records.filled.get(view, ())]
    others = [each for each in dict.fromkeys(known) if each and contract.redefined({view: each}, records.accepted)]
    if not others:
        raise ModelError(f"{view} has no changed definition: it is as the model was trained, or accepted.")
    return others
