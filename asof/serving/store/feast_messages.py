"""Feast's protobuf messages and its key encoding, without Feast: no pandas, no pyarrow, 0.03 s in place of 4.4 s.

Both are in modules of their own that need protobuf alone; what costs time and memory is `feast/__init__.py`, which
Python executes before any of them. So for the time of their import, and for this thread only, `feast` is found by a
loader that imports them and then gives up. Where a loader fails, Python takes the module back and lets nobody see it
(importlib, "Loader.exec_module"; CPython's `_load_unlocked`); threads that import Feast meanwhile wait and get the
whole of it, as they do afterwards.
"""

import functools
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class FeastMessages:
    """Feast's generated classes, and its function that makes the key under which a store keeps an entity."""

    feature_service: Any
    feature_view: Any
    entity: Any
    value: Any
    value_types: Any
    entity_key: Any
    serialize_entity_key: Callable[[Any, int], bytes]


@functools.cache
def feast_messages() -> FeastMessages:
    """The messages; where Feast is imported anyway, its own. Raises ModuleNotFoundError where it is not installed."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        import feast  # noqa: F401 - or else what `_Finder` makes of it
    except _EnoughError:
        assert finder.messages is not None  # noqa: S101 - set before it is raised
        return finder.messages
    finally:
        sys.meta_path.remove(finder)
    return _import()


class _EnoughError(Exception):
    """What was wanted of Feast is there."""


class _Finder(MetaPathFinder, Loader):
    def __init__(self) -> None:
        self.messages: FeastMessages | None = None
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname != "feast" or threading.get_ident() != self._thread:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is None:
            return None
        spec = ModuleSpec(fullname, self, origin=found.origin, is_package=True)
        spec.submodule_search_locations = found.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Python makes an ordinary one."""

    def exec_module(self, module: ModuleType) -> None:
        """Leaves nothing of Feast in `sys.modules`: a later import would miss what it finds there half done."""
        try:
            self.messages = _import()
        finally:
            for name in [name for name in sys.modules if name.startswith(f"{module.__name__}.")]:
                del sys.modules[name]
        raise _EnoughError


def _import() -> FeastMessages:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.core.Entity_pb2 import Entity
    from feast.protos.feast.core.FeatureService_pb2 import FeatureService
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value, ValueType

    return FeastMessages(FeatureService, FeatureView, Entity, Value, ValueType.Enum, EntityKey, serialize_entity_key)
