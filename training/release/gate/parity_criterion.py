"""Online store, as it was materialised last -> a criterion of the promotion gate: it agrees with the snapshots."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.use_case import FromRequest, UseCase
from training.data.snapshots.owned_tables import table_exists
from training.features.parity.check import SAMPLE_USERS, check_parity, next_step, summary
from training.features.parity.ledger import record_parity
from training.features.parity.verdicts import Verdict
from training.release.gate.criteria import Criterion

NAME = "online store agrees with the offline store"

# The moment of the last materialisation of any of the views, and the newest load that one of them has seen. A view in
# which nothing was new then has no row of its own: what it shows was right for that moment, too.
SHOWN = """
WITH last AS (
    SELECT DISTINCT ON (view) * FROM materialisations WHERE view = ANY(%s) ORDER BY view, materialisation_id DESC
)
SELECT as_of, (SELECT max(known_at) FROM loads WHERE load_id <= (SELECT max(load_id) FROM last))
FROM last ORDER BY materialisation_id DESC LIMIT 1"""


@dataclass(frozen=True)
class Shown:
    """What the online store was brought to: the moment that it shows, as known at another."""

    as_of: datetime
    known_at: datetime


def store_criteria(settings: Settings, use_case: UseCase, contract: FeatureContract) -> tuple[Criterion, ...]:
    """What the gate asks of the online store: nothing where the features come in the request."""
    if isinstance(use_case.source, FromRequest):
        return ()
    return (online_store_agrees(settings, use_case, contract),)


def online_store_agrees(settings: Settings, use_case: UseCase, contract: FeatureContract) -> Criterion:
    """Whether the values of a model's features, as served, are those that a training set would be made of.

    Compared is the moment to which the online store was materialised last, with what was known then: a month or a late
    row that has been loaded since is no fault of the store's. Rows past their ttl do not count: the service judges age
    itself. Fails where none of the model's views was ever materialised.
    """
    shown = _shown(settings, contract.views)
    if shown is None:
        return Criterion(
            NAME, False, {}, f"none of {', '.join(contract.views)} is materialised: run `python -m flows ingest`"
        )
    parity = check_parity(
        settings,
        use_case,
        as_of=shown.as_of,
        known_at=shown.known_at,
        feature_service=contract.feature_service,
        sample=SAMPLE_USERS,
    )
    record_parity(settings, parity)
    passed = parity.users > 0 and parity.wrong == 0
    figures = {
        "users": parity.users,
        "differing_users": parity.differing_users,
        "differing_at_most": parity.differing_at_most,
        "values_wrong": parity.wrong,
        "values_past_ttl": parity.verdicts[Verdict.PAST_TTL],
    }
    reason = f"{summary(parity)}; materialised to {shown.as_of.isoformat()}"
    return Criterion(NAME, passed, figures, reason if passed else f"{reason}. {next_step(parity)}")


def _shown(settings: Settings, views: Sequence[str]) -> Shown | None:
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        if not table_exists(connection, "public.materialisations"):
            return None
        row = connection.execute(SHOWN, (list(views),)).fetchone()
    return Shown(*row) if row else None
