"""Kept answers of one model -> arrays: each value as it was served, with its moment, by one COPY."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import NDArray
from psycopg import sql

from asof.ledger.reading.kept_answer import KeptModel
from asof.ledger.schema import VERDICT_LETTERS
from monitoring.audit.reading.sample import HASH, Span, Stratum
from monitoring.outcomes.labels import microseconds
from training.data.snapshots.reading.copy_query import copy_rows

if TYPE_CHECKING:
    from psycopg import Connection

ANSWERS: LiteralString = """
SELECT {at}, coalesce(caller_id, request::text) || coalesce(':' || item, ''), entity, {target}, verdicts, {own},
    {columns}
FROM ledger.predictions WHERE model = {model} AND {chosen} AND {hash} <= {limit}
ORDER BY at, request, item"""
OWN: LiteralString = """
CASE WHEN cardinality(moments) <> {views} THEN
    (SELECT string_agg(coalesce({moment}::text, ''), ',' ORDER BY place)
        FROM unnest(moments) WITH ORDINALITY AS each (of_feature, place))
END"""
"""Where the features of a view differ in their moments: those of all features, as text."""
OF_VIEW: LiteralString = "CASE WHEN moments IS NULL THEN {target} WHEN cardinality(moments) = {views} THEN {moment} END"

NEVER = np.iinfo(np.int64).min
"""In place of a moment, in microseconds since 1970: there was no row."""
TYPES: Mapping[str, arrow.DataType] = {
    "Float64": arrow.float64(),
    "Float32": arrow.float64(),
    "Int64": arrow.int64(),
    "Int32": arrow.int64(),
    "Bool": arrow.int64(),
    "String": arrow.large_string(),
}
"""How the ledger has values of each of Feast's types that can be compared; it has others as text of its own."""
OVERRIDDEN = VERDICT_LETTERS.get("OVERRIDDEN", "")

Moments = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ServedValues:
    """One feature of n answers: values and nulls, and moments (NEVER: no row); `overridden` by the request."""

    name: str
    view: str
    type: str
    values: NDArray[Any]
    nulls: Flags
    moments: Moments
    overridden: Flags


@dataclass(frozen=True)
class ServedAnswers:
    """n answers of one model, the oldest first: times, request ids, entities as text, and the values by feature.

    `targets` are the moments whose outcome is predicted (NEVER: nothing was found). `given` features came in the
    request, `untyped` ones have a type that cannot be compared.
    """

    model: KeptModel
    at: Moments
    requests: arrow.Array
    entities: NDArray[Any]
    targets: Moments
    features: Sequence[ServedValues]
    given: Sequence[str] = field(default=())
    untyped: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.at)


def read_served(connection: "Connection[Any]", model: KeptModel, span: Span, stratum: Stratum) -> ServedAnswers:
    """The audited answers of a model."""
    stored = [(n, each) for n, each in enumerate(model.features) if each["view"]]
    audited = [(number, each) for number, each in stored if each["type"] in TYPES]
    rows = _rows(connection, model, (span, stratum), [each for _, each in audited])
    views = {view: _integers(rows[f"view {number}"]) for number, view in enumerate(model.views)}
    own, verdicts = rows["own"].combine_chunks(), rows["verdicts"].combine_chunks()
    return ServedAnswers(
        model,
        _integers(rows["at"]),
        rows["request"].combine_chunks(),
        rows["entity"].combine_chunks().to_numpy(zero_copy_only=False),
        _integers(rows["target"]),
        [
            _values(each, rows[f"value {n}"], (_with_own(views[each["view"]], own, number), verdicts, number))
            for n, (number, each) in enumerate(audited)
        ],
        given=[each["name"] for each in model.features if not each["view"]],
        untyped=[each["name"] for _, each in stored if each["type"] not in TYPES],
    )


def _rows(
    connection: "Connection[Any]", model: KeptModel, chosen: tuple[Span, Stratum], features: Sequence[Mapping[str, Any]]
) -> arrow.Table:
    """The columns at, request, entity, target, verdicts, own, one for each view, one for each feature."""
    span, stratum = chosen
    views, target = sql.Literal(len(model.views)), microseconds(sql.Identifier("target_as_of"))
    moments = [sql.SQL("moments[{}]").format(sql.Literal(number)) for number in range(1, len(model.views) + 1)]
    columns: list[sql.Composable] = [
        sql.SQL(OF_VIEW).format(target=target, views=views, moment=microseconds(each)) for each in moments
    ]
    columns += [sql.Identifier(each["kind"]) + sql.SQL(f"[{int(each['place'])}]") for each in features]
    query = sql.SQL(ANSWERS).format(
        at=microseconds(sql.Identifier("at")),
        target=target,
        own=sql.SQL(OWN).format(views=views, moment=microseconds(sql.Identifier("of_feature"))),
        columns=sql.SQL(", ").join(columns),
        model=sql.Literal(model.id),
        chosen=span.chosen,
        hash=sql.SQL(HASH),
        limit=sql.Literal(stratum.limit),
    )
    number, text = arrow.int64(), arrow.large_string()
    types = {"at": number, "request": text, "entity": text, "target": number, "verdicts": text, "own": text}
    types |= {f"view {place}": number for place in range(len(model.views))}
    types |= {f"value {place}": TYPES[each["type"]] for place, each in enumerate(features)}
    return arrow.concat_tables([arrow.schema(types).empty_table(), *copy_rows(connection, query, types)])


def _values(
    feature: Mapping[str, Any], column: arrow.ChunkedArray, found: tuple[Moments, arrow.Array, int]
) -> ServedValues:
    moments, verdicts, number = found
    letters = compute.utf8_slice_codeunits(verdicts, number, number + 1)
    overridden = compute.equal(letters, OVERRIDDEN or "\0").fill_null(False)
    values, nulls = as_numpy(column)
    return ServedValues(
        feature["name"],
        feature["view"],
        feature["type"],
        values,
        nulls,
        moments,
        overridden.to_numpy(zero_copy_only=False),
    )


def as_numpy(column: arrow.ChunkedArray) -> tuple[NDArray[Any], Flags]:
    """The values, and where there is none; a NaN is none, as in a training set."""
    whole = column.combine_chunks()
    if arrow.types.is_boolean(whole.type):  # as the ledger has it
        whole = whole.cast(arrow.int64())
    nulls = whole.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    filling = "" if arrow.types.is_large_string(whole.type) else 0
    return whole.fill_null(filling).to_numpy(zero_copy_only=False), nulls


def _integers(column: arrow.ChunkedArray) -> Moments:
    whole: Moments = column.combine_chunks().fill_null(NEVER).to_numpy(zero_copy_only=False)
    return whole


def _with_own(of_view: Moments, own: arrow.Array, number: int) -> Moments:
    """The moments of a feature, those of its view where the features of no view differ."""
    if own.null_count == len(own):
        return of_view
    moments = of_view.copy()
    for place in np.flatnonzero(own.is_valid().to_numpy(zero_copy_only=False)):
        cells = own[place].as_py().split(",")
        moments[place] = int(cells[number]) if number < len(cells) and cells[number] else NEVER
    return moments
