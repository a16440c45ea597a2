"""The online store, as last materialised -> the criterion that it agrees with the snapshots."""

from collections.abc import Sequence
from datetime import datetime

import psycopg

from asof.features.feature_contract import FeatureContract
from asof.settings import Settings
from asof.use_case import UseCase
from training.data.snapshots.owned_tables import table_exists
from training.features.parity.check import SAMPLE_USERS, check_parity, next_step, summary
from training.features.parity.ledger import record_parity
from training.features.parity.verdicts import Verdict
from training.targets.rules import Criterion

CRITERION = "online store agrees with the offline store"

# `as_of` of the last materialisation of any of the views, and `known_at` of the newest load that any of them includes.
# A view without new rows has no later row here, and is up to date all the same.
LAST_MATERIALISATION = """
WITH last AS (
    SELECT DISTINCT ON (view) * FROM materialisations WHERE view = ANY(%s) ORDER BY view, materialisation_id DESC
)
SELECT as_of, (SELECT max(known_at) FROM loads WHERE load_id <= (SELECT max(load_id) FROM last))
FROM last ORDER BY materialisation_id DESC LIMIT 1"""


def online_store_agrees(settings: Settings, use_case: UseCase, contract: FeatureContract) -> Criterion:
    """Whether the online values of a model's features equal those of a training set.

    They are compared as of the last materialisation, with what was known then, so later loads make no difference. Rows
    past their ttl are left out: the service checks age itself. Fails where no view of the model was materialised.
    """
    materialised = _last_materialisation(settings, contract.views)
    if materialised is None:
        reason = f"none of {', '.join(contract.views)} is materialised: run `python -m flows ingest`"
        return Criterion(CRITERION, False, {}, reason)
    as_of, known_at = materialised
    parity = check_parity(
        settings,
        use_case,
        as_of=as_of,
        known_at=known_at,
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
    reason = f"{summary(parity)}; materialised to {as_of.isoformat()}"
    return Criterion(CRITERION, passed, figures, reason if passed else f"{reason}. {next_step(parity)}")


def _last_materialisation(settings: Settings, views: Sequence[str]) -> tuple[datetime, datetime] | None:
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        if not table_exists(connection, "public.materialisations"):
            return None
        row: tuple[datetime, datetime] | None = connection.execute(LAST_MATERIALISATION, (list(views),)).fetchone()
    return row
