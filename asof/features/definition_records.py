"""The definitions by which the online store was filled, and those accepted as equivalent, read from PostgreSQL.

Both are in tables of schema `public`, written by `training.features.materialisation.watermarks` and
`training.release.promotion.acceptance`. A view without a record was filled by others (`feast materialize`): the
registered definition is assumed.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import psycopg

from asof.errors import FeatureContractMismatch
from asof.features.feature_contract import AcceptedDefinitions, FeatureContract
from asof.features.feature_definition import digest_of

FILLED, ACCEPTED = "public.online_definitions", "public.accepted_definitions"
_FILLED = f"SELECT view, definition FROM {FILLED} WHERE store = %s AND view = ANY(%s) ORDER BY begun_at"  # noqa: S608
_INTERRUPTED = f"""
SELECT view, digest FROM {FILLED} JOIN public.data_sources ON data_source_name = source
WHERE store = %s AND view = ANY(%s) AND last_updated_timestamp IS DISTINCT FROM source_registered"""  # noqa: S608
_ACCEPTED = f"SELECT trained, registered FROM {ACCEPTED} WHERE view = ANY(%s)"  # noqa: S608


@dataclass(frozen=True)
class DefinitionRecords:
    """`filled` maps a view to the definitions by which its online rows may have been written, oldest first.

    `accepted` are pairs of digests of equivalent definitions. `interrupted` are pairs of a view and the digest of one
    of `filled` whose source was registered again since: if it is registered now, another one was in between.
    """

    filled: Mapping[str, Sequence[str]] = field(default_factory=dict)
    accepted: AcceptedDefinitions = frozenset()
    interrupted: Set[tuple[str, str]] = frozenset()

    def mismatch(self, contract: FeatureContract, registered: FeatureContract) -> str:
        """Why a model with `contract` must not answer, with the next step; empty where it may.

        Features that come in the request are not compared.
        """
        contract, registered = contract.stored, registered.stored
        if difference := contract.difference(registered, accepted=self.accepted):
            return f"{difference}. {self._next_step(contract, registered.definitions)}"
        difference = "; ".join((self._in_between(registered.definitions) | self._written(contract)).values())
        return f"{difference}. {FILL}" if difference else ""

    def _next_step(self, contract: FeatureContract, definitions: Mapping[str, str]) -> str:
        if contract.unrecorded(definitions):
            return RETRAIN
        changed = next(iter(contract.redefined(definitions, self.accepted)), None)
        return REDEFINED.format(changed) if changed else APPLY

    def _in_between(self, definitions: Mapping[str, str]) -> dict[str, str]:
        """Views that had another definition for a time, by which `feast materialize` may have written."""
        return {
            view: f"{view} was defined otherwise for a time, and rows that are online may have been written then"
            for view, definition in definitions.items()
            if (view, digest_of(definition)) in self.interrupted
        }

    def _written(self, contract: FeatureContract) -> dict[str, str]:
        """Views with rows online that were written by another definition than the model's."""
        return {
            view: f"rows of {view} that are online were written when {change}"
            for view, definitions in self.filled.items()
            for definition in definitions
            for change in contract.redefined({view: definition}, self.accepted).values()
        }


APPLY = "Run `feast apply` with the model's features, or train and bundle again."
RETRAIN = "Train again: `python -m flows retrain USE_CASE`."
FILL = "Run `python -m flows ingest`: it writes them again."
REDEFINED = (
    "Train on it (`python -m flows retrain USE_CASE`), restore the former definition and run `python -m flows ingest`, "
    "or, where its values mean the same, run `python -m flows accept-definition {} --reason WHY`."
)


def read_records(connection: "psycopg.Connection[Any]", store: str, views: Sequence[str]) -> DefinitionRecords:
    """The records of these views for an online store of that type; empty where there are none.

    Raises FeatureContractMismatch where our role may not read them.
    """
    names = list(views)
    try:
        filled: dict[str, list[str]] = {}
        for view, definition in _rows(connection, FILLED, _FILLED, [store, names]):
            filled.setdefault(view, []).append(definition)
        interrupted = _rows(connection, "public.data_sources", _INTERRUPTED, [store, names]) if filled else []
        accepted = {frozenset(pair) for pair in _rows(connection, ACCEPTED, _ACCEPTED, [names])}
    except psycopg.errors.InsufficientPrivilege as error:
        raise FeatureContractMismatch(
            f"The records of feature definitions cannot be read ({error.diag.message_primary}): "
            "run `python -m flows databases`."
        ) from error
    return DefinitionRecords(filled, frozenset(accepted), frozenset(interrupted))


def _rows(
    connection: "psycopg.Connection[Any]", table: str, query: str, parameters: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """The result; no rows where the table does not exist yet."""
    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
        return []
    return connection.execute(query.encode(), parameters).fetchall()
