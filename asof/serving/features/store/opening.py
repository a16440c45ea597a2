"""Opens the online store of feature_store.yaml for a feature contract, with the fastest suitable reader."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asof.errors import ConfigurationError, FeatureContractMismatch, FeatureStoreUnavailable
from asof.features.feast.registry import registry_conninfo
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import configuration
from asof.inference.policies import RegisteredFeatures, require_same
from asof.inference.wide_reader import WIDE, WideReader
from asof.serving.features.store.reader import EntityReader
from asof.settings import Settings

logger = logging.getLogger("asof.serving")

SCALARS = {"Bool", "Float32", "Float64", "Int32", "Int64", "String"}
"""The Feast types that our reader supports."""

OpenReader = Callable[[Settings, FeatureContract], EntityReader]
ReadRegistry = Callable[[Settings, FeatureContract], RegisteredFeatures]


def open_reader(settings: Settings, contract: FeatureContract) -> EntityReader:
    """A reader for the contract's features; blocks. Raises FeatureStoreUnavailable or FeatureContractMismatch."""
    with _registry_errors():
        if reader := _wide_reader(configuration(settings), contract):
            return reader
        from asof.serving.features.store.feast_api import open_feast_reader

        return open_feast_reader(settings, contract)


def read_registered(settings: Settings, contract: FeatureContract) -> RegisteredFeatures:
    """The contract's feature service as it is registered now; blocks. Raises as `open_reader` does."""
    with _registry_errors():
        store = configuration(settings)
        if conninfo := registry_conninfo(store["registry"]):
            return _read_sql_registry(conninfo, store, contract)
        from asof.serving.features.store.feast_api import read_registered_by_feast

        return read_registered_by_feast(settings, contract.feature_service)


@contextlib.contextmanager
def _registry_errors() -> Iterator[None]:
    try:
        yield
    except FeatureStoreUnavailable:
        raise
    except ConfigurationError as error:  # what no model can take
        raise FeatureContractMismatch(str(error)) from error
    except Exception as error:
        raise FeatureStoreUnavailable(f"The feature registry cannot be read ({type(error).__name__}).") from error


def _wide_reader(store: Mapping[str, Any], contract: FeatureContract) -> EntityReader | None:
    """Our own reader; None where only Feast can look these features up."""
    conninfo = registry_conninfo(store["registry"]) if store["online_store"]["type"] == WIDE else None
    if conninfo is None or any(feature.dtype not in SCALARS for feature in contract.features):
        return None
    if not WideReader.can_read(contract):
        return None
    registered = _read_sql_registry(conninfo, store, contract)
    if registered.feast_only:
        logger.info("Features are read through Feast: %s.", registered.feast_only)
        return None
    require_same(contract, registered)
    return WideReader(store, contract, registered.policies)


def _read_sql_registry(conninfo: str, store: Mapping[str, Any], contract: FeatureContract) -> RegisteredFeatures:
    from asof.serving.features.store.feast_registry import read_registry

    online_store = store["online_store"]["type"]
    return read_registry(conninfo, store["project"], contract.feature_service, store=online_store)
