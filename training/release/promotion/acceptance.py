"""A view that is defined otherwise than for the version in Production -> accepted as the same, for good, by somebody.

A pair of definitions is accepted and not a view: a third definition has to be accepted again.
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
from training.release.registry.versions import production

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
    """One pair: the digests of the definition that a model was trained on and of another, and the changed lines."""

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
    """Accepts how the view is defined now, and what filled it online, as what the version in Production was trained on.

    Gives the pairs that were accepted. Raises ModelError where nothing is in Production, where that version does not
    record its definitions or does not take the view, and where nothing differs.
    """
    version = production(settings, use_case)
    if version is None:
        raise ModelError(f"No version of {use_case.model_name} is in Production: there is nothing to accept it for.")
    contract = version.facts.contract
    if view not in contract.definitions:
        raise ModelError(
            f"{version.name} version {version.version} records no definition of {view!r} "
            f"(of {', '.join(contract.definitions) or 'no view at all: train again'})."
        )
    others = _others(settings, contract, view)
    own = contract.definitions[view]
    who, made = actor(settings), (version.name, version.version, reason)
    with psycopg.connect(settings.conninfo()) as connection:
        create_if_absent(connection, ACCEPTED, CREATE)
        for other in others:
            pair = (view, digest_of(own), digest_of(other), changed_lines(own, other))
            connection.execute(INSERT.encode(), (*pair, *made, who))
    digests = {digest_of(other) for other in others}
    return [each for each in acceptances(settings) if each.view == view and each.registered in digests]


def acceptances(settings: Settings) -> list[Acceptance]:
    """All of them, the newest first."""
    with psycopg.connect(settings.conninfo()) as connection:
        if not table_exists(connection, ACCEPTED):
            return []
        with connection.cursor(row_factory=class_row(Acceptance)) as cursor:
            return cursor.execute(f"SELECT * FROM {ACCEPTED} ORDER BY accepted_at DESC".encode()).fetchall()  # noqa: S608


def _others(settings: Settings, contract: FeatureContract, view: str) -> list[str]:
    """The definitions that are not yet taken for the contract's. Raises ModelError where there is none."""
    registered, records = (
        registered_contract(settings, contract.feature_service),
        definition_records(settings, contract),
    )
    if registered is None:
        raise ConfigurationError(
            f"The registry has no feature service {contract.feature_service!r}: run `feast apply`."
        )
    known = [registered.definitions.get(view, ""), *records.filled.get(view, ())]
    others = [each for each in dict.fromkeys(known) if each and contract.redefined({view: each}, records.accepted)]
    if not others:
        raise ModelError(
            f"{view} is defined as {contract.feature_service} was when the model was trained, or accepted."
        )
    return others
