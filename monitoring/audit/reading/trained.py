"""The run of a model -> what it was trained on: its facts, and the rows of its training set, where MLflow has them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from asof.errors import AsOfError
from asof.features.join_keys import JoinKeys
from asof.ledger.reading.kept_answer import KeptModel
from asof.model_facts import ModelFacts
from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.audit.reading.served import ServedValues, as_numpy
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
