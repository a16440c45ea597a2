"""The tables of schema `public` in database `asof`, which their stages create."""

import psycopg

from asof.extract_schema import ExtractSchema
from asof.features.definition_records import ACCEPTED
from asof.features.feature_store import feature_store, registry_tables
from asof.settings import Settings
from asof.use_case import FromStore
from asof.use_cases import load, names
from roles.access import Tables
from training.data.snapshots.owned_tables import create_if_absent
from training.data.snapshots.tables import prepare_tables
from training.features.materialisation import watermarks
from training.features.parity import ledger
from training.release.promotion import acceptance, history
from training.scoring import postgres as scoring


def extracts() -> list[ExtractSchema]:
    """Of all use cases that have them."""
    use_cases = (load(name) for name in names())
    return [use_case.extract for use_case in use_cases if isinstance(use_case.source, FromStore)]


def wanted_tables() -> Tables:
    """Their names."""
    snapshots = (table.name for extract in extracts() for table in (*extract.tables, extract.labels))
    return Tables(tuple(dict.fromkeys(snapshots)), registry_tables())


def make_tables(settings: Settings) -> None:
    """Creates the missing ones, as the role of these settings."""
    for extract in extracts():
        prepare_tables(settings, extract)
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        watermarks.create_watermark_tables(connection)
        create_if_absent(connection, history.TABLE, history.CREATE)
        create_if_absent(connection, ledger.TABLE, ledger.CREATE)
        scoring.create_tables(connection)
        create_if_absent(connection, ACCEPTED, acceptance.CREATE)
    with feature_store(settings):  # opening it creates the registry's tables
        pass
