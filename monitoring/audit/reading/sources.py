"""Models that answered -> the feature views behind their values, as they are defined now, and the entities' keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.errors import ConfigurationError, TrainingSetError
from asof.extracts.schema import ExtractSchema
from asof.features.entity_key import parse
from asof.features.feature_contract import FeatureContract
from asof.features.feature_store import definition_records
from asof.features.join_keys import JoinKeys, hashable_text
from asof.ledger.reading.kept_answer import KeptModel
from asof.model_facts import ModelFacts
from asof.settings import Settings
from training.data.snapshots.erased.left_out import erased_before
from training.data.snapshots.tables import Connection
from training.features.datasets.point_in_time import read_sources
from training.features.datasets.point_in_time_sql import ViewSource


@dataclass(frozen=True)
class AuditedEntities:
    """The entities whose answers are audited: codes by text, and the values of their keys by code (None: not of the
    keys).
    """

    codes: Mapping[str, int]
    values: Sequence[tuple[Any, ...] | None]
    keys: JoinKeys

    def of_view(self, source: ViewSource) -> tuple[Sequence[tuple[Any, ...]], NDArray[np.int64]]:
        """The distinct values of the view's keys, in the order of `keys`, and the place among them by code (-1: none).

        Where users and merchants have views of their own, many entities have one merchant.
        """
        own = [place for place, name in enumerate(self.keys.names) if name in source.keys]
        distinct: dict[tuple[Any, ...], int] = {}
        places = [
            -1 if each is None else distinct.setdefault(tuple(each[place] for place in own), len(distinct))
            for each in self.values
        ]
        return list(distinct), np.array(places, dtype=np.int64)


class ErasedEntities:
    """Which of the audited entities have a tombstone: where an erasure was interrupted, their answers are still kept.

    Without the tombstones' key each may have one.
    """

    def __init__(self, settings: Settings, connection: Connection, extract: ExtractSchema) -> None:
        self._knows: Callable[[str], bool] | None = None
        try:
            self._knows = erased_before(settings, connection, extract, datetime.min.replace(tzinfo=UTC)).knows(
                extract.keys
            )
        except ConfigurationError:
            self._knows = lambda _: True

    def among(self, entities: AuditedEntities, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the entities that have one."""
        knows, keys, texts = self._knows, entities.keys, list(entities.codes)
        if knows is None:
            return np.zeros(0, dtype=np.int64)
        return np.array([code for code in codes.tolist() if knows(hashable_text(keys.parse(texts[code])))], np.int64)


def audited_entities(texts: Iterator[str], keys: JoinKeys) -> AuditedEntities:
    """Of the texts in the ledger."""
    codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    return AuditedEntities(codes, [_parsed(text, keys) for text in codes], keys)


def _parsed(text: str, keys: JoinKeys) -> tuple[Any, ...] | None:
    """None for one that was kept when the use case had other keys."""
    try:
        values = keys.values(keys.parse(text))
        return tuple(parse(str(value), key.kind) for value, key in zip(values, keys.keys, strict=True))
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class AuditedViews:
    """By name: each view's source with the features of all services, and the Feast types of these.

    `contracts` are those of the services now; `notes` are sentences on services that are gone.
    """

    sources: Mapping[str, ViewSource]
    types: Mapping[str, Mapping[str, str]]
    contracts: Mapping[str, FeatureContract]
    notes: tuple[str, ...]


def audited_views(settings: Settings, models: Sequence[KeptModel]) -> AuditedViews:
    """The views of all feature services of the models."""
    sources: dict[str, ViewSource] = {}
    types: dict[str, dict[str, str]] = {}
    contracts, notes = dict[str, FeatureContract](), list[str]()
    for service in dict.fromkeys(each.feature_service for each in models if each.feature_service):
        try:
            contract, read = read_sources(settings, service)
        except TrainingSetError as error:
            notes.append(str(error))
            continue
        contracts[service] = contract
        for source in read:
            before = sources.get(source.view, source)
            sources[source.view] = replace(source, columns={**before.columns, **source.columns})
        for feature in contract.features:
            types.setdefault(feature.view, {})[feature.name] = feature.dtype
    return AuditedViews(sources, types, contracts, tuple(notes))


def redefined(settings: Settings, contract: FeatureContract, facts: ModelFacts | None) -> Mapping[str, str]:
    """The views that are defined otherwise than when the model was trained, each with what has changed."""
    if facts is None:
        return {}
    return facts.contract.redefined(contract.definitions, definition_records(settings, contract).accepted)
