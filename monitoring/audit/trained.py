"""The training set of a model's run -> the values that became known after its `known_at`, or describe a later moment.

A training set holds, for each entity, the newest row up to `as_of` among those created up to `known_at`. A value that
is not that row's, but that of a row created later, has leaked into training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from asof.errors import AsOfError
from asof.features.join_keys import JoinKeys
from asof.ledger.reading.kept_answer import KeptModel
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.audit.judge import Places, equal
from monitoring.audit.rows import ViewRows, in_microseconds
from monitoring.audit.served import Flags, ServedValues, as_numpy
from training.models.fitting.logged_rows import logged_rows, rows_are_left, rows_match
from training.release.registry.logged_model import of_run
from training.tracking.client import error_code, has_registry, open_tracking


@dataclass(frozen=True)
class Trained:
    """What a run recorded: its facts, and its training set's rows of the audited entities, by whose codes they are.

    Either is None where it is gone; `note` says so.
    """

    facts: ModelFacts | None = None
    rows: arrow.Table | None = None
    entities: NDArray[np.int64] | None = None
    note: str = ""


@dataclass(frozen=True)
class Leaks:
    """By row of the training set: whether its value leaked, and the row from which (-1: none)."""

    leaked: Flags
    row: Places


def read_trained(settings: Settings, use_case: UseCase, model: KeptModel, codes: Mapping[str, int]) -> Trained:
    """`codes` are those of the audited entities, by their text."""
    try:
        if not has_registry(settings):
            return Trained(note=f"MLflow has no run {model.run_id}: its training set was not compared.")
        facts = of_run(settings, use_case, model.run_id).facts
        return _with_rows(settings, use_case, model, facts, codes=codes)
    except AsOfError as error:
        return Trained(note=f"The training set of version {model.version} was not compared: {error}")
    except Exception as error:
        if not isinstance(error, OSError) and error_code(error) is None:
            raise
        return Trained(note=f"The training set of version {model.version} cannot be read from MLflow: {error}")


def _with_rows(
    settings: Settings, use_case: UseCase, model: KeptModel, facts: ModelFacts, *, codes: Mapping[str, int]
) -> Trained:
    client = open_tracking(settings)
    rows = logged_rows(client, model.run_id)
    label = use_case.extract.label
    if rows is None:
        return Trained(facts, note=f"The run of version {model.version} keeps no training set: it was not compared.")
    if not (rows_match(rows, facts, label) or rows_are_left(settings, client, model.run_id)):
        return Trained(facts, note=f"The training set kept of version {model.version} is not what it was trained on.")
    entities = _codes(rows, facts.contract.keys, codes)
    chosen = entities >= 0
    return Trained(facts, rows.filter(arrow.array(chosen)), entities[chosen])


def _codes(rows: arrow.Table, keys: JoinKeys, codes: Mapping[str, int]) -> NDArray[np.int64]:
    columns = [rows[name].to_pylist() for name in keys.names]
    texts = (keys.text(keys.from_row(values)) for values in zip(*columns, strict=True))
    return np.array([codes.get(text, -1) for text in texts], dtype=np.int64)


def values_of(trained: Trained, name: str, dtype: str) -> ServedValues:
    """A feature of the training set's rows."""
    assert trained.rows is not None  # noqa: S101 - the caller has looked
    values, nulls = as_numpy(trained.rows[name])
    empty = np.zeros(0, dtype=np.int64)
    return ServedValues(name, "", dtype, values, nulls, empty, empty.astype(bool))


def leaks(rows: ViewRows, facts: ModelFacts, entities: NDArray[np.int64], values: ServedValues) -> Leaks:
    """Of the training set's rows, whose entities are those codes in the view's rows."""
    as_of, known_at = in_microseconds(facts.as_of), in_microseconds(facts.known_at)
    column, oldest = rows.columns[values.name], as_of - rows.source.ttl * 10**6
    timely = (rows.moments >= oldest) if rows.source.ttl else np.ones(len(rows), dtype=bool)
    later = (rows.created > known_at) | (rows.moments > as_of)
    own, row = np.zeros(len(entities), dtype=bool), np.full(len(entities), -1)
    newest = np.full(len(entities), -1)
    for place, has in _of_entities(rows, timely & ~later, entities):
        newest = np.where(has, place, newest)
    for place, has in _of_entities(rows, timely & ~later, entities):
        own |= has & (rows.order[place] == rows.order[newest]) & equal(values, column, place)
    own |= (newest < 0) & values.nulls
    for place, has in _of_entities(rows, timely & later, entities):
        row = np.where(has & ~own & (row < 0) & equal(values, column, place), place, row)
    return Leaks(row >= 0, row)


def _of_entities(rows: ViewRows, chosen: Flags, entities: NDArray[np.int64]) -> Any:
    """The first chosen row of each entity, the second, and so on; and which entities have it."""
    places = np.flatnonzero(chosen)
    first, end = (np.searchsorted(rows.entities[places], entities, side) for side in ("left", "right"))
    for number in range(int((end - first).max(initial=0))):
        has = first + number < end
        yield places[np.where(has, first + number, 0)], has
