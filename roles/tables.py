"""The tables of schemas `public` and `ledger` in database `asof`, which their stages create."""

import psycopg
from psycopg.rows import TupleRow

from asof.extracts.schema import REGISTRY_TABLES, ExtractSchema
from asof.features.definition_records import ACCEPTED
from asof.features.feature_store import feature_store
from asof.ledger.schema import create_tables as create_ledger
from asof.settings import Settings
from asof.use_case import FromStore
from asof.use_cases import load_all
from monitoring.records.tables import create_tables as create_monitoring
from roles.access import Tables
from training.data.snapshots.erased import tombstones
from training.data.snapshots.months.schema import create_months
from training.data.snapshots.owned_tables import create_if_absent, tables_owned_by
from training.data.snapshots.tables import prepare_tables
from training.features.materialisation import applied, watermarks
from training.features.parity import ledger
from training.release.promotion import acceptance, history
from training.scoring import postgres as scoring


def extracts() -> tuple[list[ExtractSchema], list[str]]:
    """Of all use cases that have them; and the names of those that do not load, whose tables stay as they are."""
    use_cases, broken = load_all()
    return [use_case.extract for use_case in use_cases if isinstance(use_case.source, FromStore)], [*broken]


def wanted_tables(connection: psycopg.Connection[TupleRow]) -> Tables:
    """Their names; those of a use case that does not load by its mark in the database."""
    schemas, broken = extracts()
    snapshots = [table.name for extract in schemas for table in (*extract.tables, extract.labels)]
    return Tables(tuple(dict.fromkeys([*snapshots, *tables_owned_by(connection, broken)])), REGISTRY_TABLES)


def make_tables(settings: Settings) -> None:
    """Creates the missing ones, as the role of these settings."""
    for extract in extracts()[0]:
        prepare_tables(settings, extract)
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        create_months(connection)
        watermarks.create_watermark_tables(connection)
        create_if_absent(connection, applied.TABLE, applied.CREATE)
        create_if_absent(connection, history.TABLE, history.CREATE)
        create_if_absent(connection, ledger.TABLE, ledger.CREATE)
        scoring.create_tables(connection)
        tombstones.create_table(connection)
        create_if_absent(connection, ACCEPTED, acceptance.CREATE)
        create_ledger(connection)
        create_monitoring(connection)
    with feature_store(settings):  # opening it creates the registry's tables
        pass
