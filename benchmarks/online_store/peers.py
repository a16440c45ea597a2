"""The peers, and how Feast is opened with the store and engine of each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asof.features.feature_store import REPOSITORY, configuration, quiet
from asof.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

STOCK, FEAST_ENGINE, OURS, QUERY, PREPARED = "stock", "feast-engine", "ours", "bare-query", "bare-copy"


@dataclass(frozen=True)
class Peer:
    """A way from PostgreSQL into an online table, in a schema of its own.

    `online` and `engine` are Feast's types; a peer without them is bare SQL. A `slow` peer makes a Python object of
    each value.
    """

    name: str
    title: str
    online: str = ""
    engine: str = ""
    slow: bool = False

    @property
    def schema(self) -> str:
        return f"bench_{self.name.replace('-', '_')}"


WIDE = "online_store.store.WideOnlineStore"
PEERS = {
    peer.name: peer
    for peer in (
        Peer(STOCK, "Feast's stock store", "postgres", "local", slow=True),
        Peer(FEAST_ENGINE, "our store, Feast's engine", WIDE, "local", slow=True),
        Peer(OURS, "our store, our engine", WIDE, "online_store.engine.WideComputeEngine"),
        Peer(QUERY, "bare: the query into a staging table, one upsert"),
        Peer(PREPARED, "bare: COPY of prepared rows, one upsert"),
    )
}


def open_peer(settings: Settings, peer: Peer) -> "FeatureStore":
    """Feast with the peer's store and engine, and everything else from feature_store.yaml."""
    from feast import FeatureStore, RepoConfig

    raw: dict[str, Any] = configuration(settings)
    raw["online_store"] = {**raw["online_store"], "type": peer.online, "db_schema": peer.schema}
    raw["batch_engine"] = {"type": peer.engine}
    return FeatureStore(config=RepoConfig(**raw, repo_path=REPOSITORY))


def make_tables(store: "FeatureStore") -> None:
    """What `feast apply` does in the online store."""
    views, entities = store.list_feature_views(), store.list_entities()
    with quiet():
        store._get_provider().update_infra(
            store.project,
            tables_to_delete=[],
            tables_to_keep=views,
            entities_to_delete=[],
            entities_to_keep=entities,
            partial=True,
        )
