"""For tests of what features mean: views that are defined otherwise, and a service's features that look often."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import psycopg
from feast.feature_view import FeatureViewState
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource

from asof.errors import FeatureContractMismatch, FeatureStoreUnavailable
from asof.features.feast.messages import feast_messages
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import feature_store, quiet
from asof.serving.features.online_features import OnlineFeatures
from asof.settings import Settings

T = TypeVar("T")
SUBS = "subs_profile_fv"
OFTEN = 0.1
"""Seconds between two looks at the registry."""
Change = Callable[[Any], None]


def redefine(settings: Settings, view: str = SUBS, change: Change = lambda _: None) -> None:
    """Registers a view otherwise, as `feast apply` does after an edit."""
    with feature_store(settings) as store, quiet():
        found = store.get_feature_view(view)
        change(found)
        store.apply([found.batch_source, found])


def leave_in_state(settings: Settings, state: FeatureViewState) -> None:
    """What a process that is killed leaves in the registry."""
    with psycopg.connect(settings.conninfo()) as connection:
        query = "SELECT feature_view_proto FROM feature_views WHERE feature_view_name = %s"
        (stored,) = connection.execute(query, [SUBS]).fetchone() or (b"",)
        view = feast_messages().feature_view.FromString(stored)
        view.meta.state = state.to_proto()
        change = "UPDATE feature_views SET feature_view_proto = %s WHERE feature_view_name = %s"
        connection.execute(change, [view.SerializeToString(), SUBS])


def with_query(edit: Callable[[str], str]) -> Change:
    """A view whose source reads another query."""

    def change(view: Any) -> None:
        source = view.batch_source
        query = edit(source.get_table_query_string()[1:-1])
        view.batch_source = PostgreSQLSource(
            name=source.name,
            query=query,
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column,
        )

    return change


TRIPLED = with_query(lambda query: query.replace("monthly_fee,", "monthly_fee * 3 AS monthly_fee,"))


def asked(settings: Settings, contract: FeatureContract, ask: Callable[[OnlineFeatures], Coroutine[Any, Any, T]]) -> T:
    """What `ask` gives of the features of a running service that looks at the registry often."""

    async def main() -> T:
        features = OnlineFeatures(settings.model_copy(update={"features_seconds": OFTEN}), contract)
        features.start()
        try:
            await becomes(lambda: _is_opened_or_refused(features))
            return await ask(features)
        finally:
            await features.close()

    return asyncio.run(main())


async def _is_opened_or_refused(features: OnlineFeatures) -> bool:
    try:
        await features.lookup("nobody")
    except FeatureContractMismatch:
        return True
    except FeatureStoreUnavailable:
        return False
    return True


async def becomes(holds: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 60) -> None:
    """Waits until it holds."""
    until = asyncio.get_running_loop().time() + seconds
    while not await holds():
        assert asyncio.get_running_loop().time() < until, "it never came to hold"
        await asyncio.sleep(OFTEN / 2)
