"""The answers that a challenger scored, with both predictions, from the ledger."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
import psycopg
import pyarrow as arrow
from psycopg import sql
from psycopg.rows import dict_row

from asof.ledger.reading.shadow import PAIRS, Span
from asof.settings import Settings
from monitoring.outcomes.labels import microseconds
from training.data.snapshots.reading.copy_query import copy_rows
from training.metrics.classification import Floats

SCORED: LiteralString = " AND num_nonnulls(s.score, s.scores) > 0"
BOTH: LiteralString = """
SELECT p.request::text, p.item, p.entity, {target_as_of}, p.score, array_to_json(p.scores), p.decision, s.score,
    array_to_json(s.scores), s.decision """
TYPES: Mapping[str, arrow.DataType] = {
    "request": arrow.string(),
    "item": arrow.int64(),
    "entity": arrow.string(),
    "target_as_of": arrow.int64(),
    "score": arrow.float64(),
    "scores": arrow.string(),
    "decision": arrow.int64(),
    "other_score": arrow.float64(),
    "other_scores": arrow.string(),
    "other_decision": arrow.int64(),
}
VALUES: LiteralString = """
SELECT p.score, p.scores, s.score AS other_score, s.scores AS other_scores, p.floats, p.integers, p.texts, p.model,
    p.decision IS DISTINCT FROM s.decision AS differs """
SAMPLE: LiteralString = " ORDER BY md5(p.request::text || ':' || coalesce(p.item, -1)) LIMIT %(limit)s"
FEATURES = "SELECT id, features FROM ledger.models WHERE use_case = %s"


@dataclass(frozen=True)
class Pairs:
    """n answers: `rows` has the columns of TYPES; the predictions are of shape (n,) or (n, classes).

    `differing`, shape (n,): where the decisions differ.
    """

    rows: arrow.Table
    champion: Floats
    challenger: Floats
    differing: Any

    def __len__(self) -> int:
        return int(self.rows.num_rows)


def read_pairs(settings: Settings, span: Span, challenger: str, champion: str) -> Pairs:
    """The answers of the champion that the challenger scored. Raises psycopg.Error where the ledger is away."""
    parameters = {**vars(span), "challenger": challenger, "champion": champion}
    query = sql.SQL(BOTH).format(target_as_of=microseconds(sql.SQL("p.target_as_of"))) + _composed(
        PAIRS + SCORED, parameters
    )
    schema = arrow.schema(TYPES)
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        rows = arrow.concat_tables([schema.empty_table(), *copy_rows(connection, query, TYPES)])
    ours, theirs = (rows[name].fill_null(-1).to_numpy() for name in ("decision", "other_decision"))
    return Pairs(rows, _predictions(rows, ""), _predictions(rows, "other_"), ours != theirs)


def _composed(query: LiteralString, parameters: Mapping[str, Any]) -> sql.Composed:
    """The query with its parameters as literals: COPY takes none."""
    named = {name: sql.Literal(value) for name, value in parameters.items()}
    return sql.SQL(query.replace("%(", "{").replace(")s", "}")).format(**named)


def _predictions(rows: arrow.Table, prefix: str) -> Floats:
    scores = rows[f"{prefix}scores"]
    if scores.null_count == len(scores):
        return np.asarray(rows[f"{prefix}score"].to_numpy(), dtype=np.float64)
    return np.array([json.loads(each) for each in scores.to_pylist()], dtype=np.float64)


@dataclass(frozen=True)
class ValuedPairs:
    """A sample of the answers: the values of each feature, how far the predictions differ, and whether decisions do."""

    values: Mapping[str, Any]
    difference: Floats
    differing: Any


def read_values(settings: Settings, span: Span, challenger: str, champion: str, limit: int) -> ValuedPairs:
    """At most `limit` answers, chosen by a hash of their ids."""
    parameters = {**vars(span), "challenger": challenger, "champion": champion, "limit": limit}
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        features: dict[int, Any] = dict(connection.execute(FEATURES, [span.use_case]).fetchall())
        with connection.cursor(row_factory=dict_row, binary=True) as cursor:
            rows = cursor.execute((VALUES + PAIRS + SCORED + SAMPLE).encode(), parameters).fetchall()
    ours, theirs = (np.array([_plain(each, prefix) for each in rows]) for prefix in ("", "other_"))
    return ValuedPairs(
        _values(rows, features), difference(theirs, ours), np.array([each["differs"] for each in rows], dtype=bool)
    )


def difference(challenger: Floats, champion: Floats) -> Floats:
    """How far two predictions of each row are apart: of several classes the total variation, half of the sum of the
    absolute differences; else the absolute difference. Shape (n,).
    """
    apart = np.abs(challenger - champion)
    return apart if apart.ndim == 1 else apart.sum(axis=1) / 2


def _plain(row: Mapping[str, Any], prefix: str) -> Any:
    scores = row[f"{prefix}scores"]
    return row[f"{prefix}score"] if scores is None else scores


def _values(rows: Sequence[Mapping[str, Any]], features: Mapping[int, Any]) -> dict[str, Any]:
    """By feature, None where there is none; models of one version have the same features."""
    if not rows:
        return {}
    return {
        each["name"]: [(row[each["kind"]] or [None] * each["place"])[each["place"] - 1] for row in rows]
        for each in features[rows[0]["model"]]
    }
