"""PostgreSQL -> by which definitions the rows online were written, and which definitions were accepted as the same.

Both stand in tables of schema `public`, which `training.features.materialisation.watermarks` and
`training.release.promotion.acceptance` keep. A view without a record was filled by others (`feast materialize`): that
the registry's definition filled it is the best that is known."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import psycopg

from asof.errors import FeatureContractMismatch
from asof.features.feature_contract import Accepted, FeatureContract
from asof.features.feature_definition import digest_of

FILLED, ACCEPTED = "public.online_definitions", "public.accepted_definitions"
_FILLED = f"SELECT view, definition FROM {FILLED} WHERE store = %s AND view = ANY(%s) ORDER BY begun_at"  # noqa: S608
_INTERRUPTED = f"""
SELECT view, digest FROM {FILLED} JOIN public.data_sources ON data_source_name = source
WHERE store = %s AND view = ANY(%s) AND last_updated_timestamp IS DISTINCT FROM source_registered"""  # noqa: S608
_ACCEPTED = f"SELECT trained, registered FROM {ACCEPTED} WHERE view = ANY(%s)"  # noqa: S608


@dataclass(frozen=True)
class DefinitionRecords:
    """`filled` are the definitions by which rows of a view that are online may have been written, oldest first.

    `accepted` are pairs of digests of definitions that mean the same. `interrupted` are views with the digest of one of
    `filled` whose source was registered again since: where that digest is registered now, another was in between.
    """

    filled: Mapping[str, Sequence[str]] = field(default_factory=dict)
    accepted: Accepted = frozenset()
    interrupted: Set[tuple[str, str]] = frozenset()

    def misfit(self, contract: FeatureContract, registered: FeatureContract) -> str:
        """What keeps a model with `contract` from an answer, in words, with the next step; empty where nothing does."""
        if found := contract.difference(registered, accepted=self.accepted):
            return f"{found}. {self._next_step(contract, registered.definitions)}"
        found = "; ".join((self._perhaps_written(registered.definitions) | self._written(contract)).values())
        return f"{found}. {FILL}" if found else ""

    def _next_step(self, contract: FeatureContract, definitions: Mapping[str, str]) -> str:
        if contract.unrecorded(definitions):
            return RETRAIN
        changed = contract.redefined(definitions, self.accepted)
        return _train(*changed) if changed else APPLY

    def _perhaps_written(self, definitions: Mapping[str, str]) -> dict[str, str]:
        """Views whose definition was another for a time, by which `feast materialize` may have written."""
        return {
            view: f"{view} was defined otherwise for a time, and rows that are online may have been written then"
            for view, definition in definitions.items()
            if (view, digest_of(definition)) in self.interrupted
        }

    def _written(self, contract: FeatureContract) -> dict[str, str]:
        """Views with rows online that were written by another definition than the model's."""
        found = {}
        for view, definitions in self.filled.items():
            for definition in definitions:
                if why := contract.redefined({view: definition}, self.accepted).get(view):
                    found[view] = f"rows of {view} that are online were written when {why}"
        return found


APPLY = "Run `feast apply` with the model's features, or train and bundle again."
RETRAIN = "Train again: `python -m flows retrain`."
FILL = "Run `python -m flows ingest`: it writes them again."


def _train(view: str, *_: str) -> str:
    return (
        "Train on it (`python -m flows retrain`), restore the former definition and run `python -m flows ingest`, or, "
        f"where its values mean the same, run `python -m flows accept-definition {view} --reason WHY`."
    )


def read_records(connection: "psycopg.Connection[Any]", store: str, views: Sequence[str]) -> DefinitionRecords:
    """The records of these views in an online store of that type; empty where none were kept.

    Raises FeatureContractMismatch where our role may not read them.
    """
    names = list(views)
    try:
        filled: dict[str, list[str]] = {}
        for view, definition in _rows(connection, FILLED, _FILLED, [store, names]):
            filled.setdefault(view, []).append(definition)
        again = _rows(connection, "public.data_sources", _INTERRUPTED, [store, names]) if filled else []
        accepted = {frozenset(pair) for pair in _rows(connection, ACCEPTED, _ACCEPTED, [names])}
    except psycopg.errors.InsufficientPrivilege as error:
        raise FeatureContractMismatch(
            f"What the features online were written by cannot be read ({error.diag.message_primary}): "
            "run `python -m flows databases`."
        ) from error
    return DefinitionRecords(filled, frozenset(accepted), frozenset(again))


def _rows(
    connection: "psycopg.Connection[Any]", table: str, query: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return []
    return connection.execute(query.encode(), parameters).fetchall()
