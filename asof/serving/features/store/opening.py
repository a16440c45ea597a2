"""feature_repo/feature_store.yaml and a model's contract -> the fastest reader that gives Feast's answers."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asof.errors import FeatureStoreUnavailable
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import configuration
from asof.inference.policies import Registered, require_same
from asof.postgres_url import conninfo_of
from asof.serving.features.store.reader import EntityReader
from asof.settings import Settings

logger = logging.getLogger("asof.serving")

WIDE = "online_store.store.WideOnlineStore"
"""The `type` of our online store in feature_store.yaml."""
SCALARS = {"Bool", "Float32", "Float64", "Int32", "Int64", "String"}
"""The Feast types that are read without Feast."""

Opener = Callable[[Settings, FeatureContract], EntityReader]
"""Blocks: opens the store for one contract. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
Look = Callable[[Settings, FeatureContract], Registered]
"""Blocks: what is registered of a contract's feature service now. Raises as an Opener does."""


def open_reader(settings: Settings, contract: FeatureContract) -> EntityReader:
    """Blocks: reads the registry. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
    with _readable():
        return _open_directly(configuration(settings), contract) or _open_feast(settings, contract)


def look(settings: Settings, contract: FeatureContract) -> Registered:
    """Blocks: reads the registry and nothing else. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
    with _readable():
        raw = configuration(settings)
        if _is_sql(raw["registry"]):
            return _read_registry(raw, contract)
        from asof.serving.features.store.feast_api import look_by_feast

        return look_by_feast(settings, contract.feature_service)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except FeatureStoreUnavailable:
        raise
    except Exception as error:
        raise FeatureStoreUnavailable(f"The feature registry cannot be read ({type(error).__name__}).") from error


def _open_directly(raw: Mapping[str, Any], contract: FeatureContract) -> EntityReader | None:
    """None where only Feast itself gives these features right."""
    if not _is_direct(raw, contract):
        return None
    from asof.serving.features.store.wide import WideReader

    if not WideReader.can_read(contract):
        return None
    registered = _read_registry(raw, contract)
    if registered.beyond:
        logger.info("Features are read through Feast: %s.", registered.beyond)
        return None
    require_same(contract, registered)
    return WideReader(raw, contract, registered.policies)


def _read_registry(raw: Mapping[str, Any], contract: FeatureContract) -> Registered:
    from asof.serving.features.store.feast_registry import read_registry

    address, store = _conninfo(raw["registry"]), raw["online_store"]["type"]
    return read_registry(address, raw["project"], contract.feature_service, store=store)


def _is_direct(raw: Mapping[str, Any], contract: FeatureContract) -> bool:
    """Whether our reader can read this registry, this online store, and features of these types."""
    is_ours = _is_sql(raw["registry"]) and raw["online_store"]["type"] == WIDE
    return is_ours and all(feature.dtype in SCALARS for feature in contract.features)


def _open_feast(settings: Settings, contract: FeatureContract) -> EntityReader:
    from asof.serving.features.store.feast_api import open_feast_reader

    return open_feast_reader(settings, contract)


def _is_sql(registry: Any) -> bool:
    """Whether the registry is Feast's own on PostgreSQL, with one online table for each view."""
    from sqlalchemy.engine import make_url

    if not isinstance(registry, Mapping) or registry.get("registry_type") != "sql":
        return False
    on_postgres = make_url(_address(registry)).get_backend_name() == "postgresql"
    return on_postgres and not registry.get("enable_online_feature_view_versioning")


def _address(registry: Mapping[str, Any]) -> str:
    return str(registry.get("read_path") or registry["path"])


def _conninfo(registry: Mapping[str, Any]) -> str:
    from sqlalchemy.engine import make_url

    return conninfo_of(make_url(_address(registry)))
