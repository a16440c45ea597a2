"""What of each view has to be read into the online store: planned from its registered definition and the watermarks."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from asof.errors import ConfigurationError
from asof.features.feast.registry import dtype_of
from asof.features.feature_definition import definition_of
from training.features.materialisation.watermarks import NO_WATERMARK, Watermarks


@dataclass(frozen=True)
class ViewFacts:
    """A registered view: the name and type of each feature, its definition as in a contract, and its source's name."""

    name: str
    types: list[list[str]]
    text: str
    source: str


def view_facts(spec: Any) -> ViewFacts:
    """From the spec of its message (`feast.core.FeatureViewSpec`)."""
    types = [[feature.name, dtype_of(feature)] for feature in spec.features]
    return ViewFacts(spec.name, types, definition_of(spec), spec.batch_source.name)


@dataclass(frozen=True)
class ViewPlan:
    """What is to be read of a view: from `since` (None: nothing is new) up to load `newest`; `whole`: all of it.

    `definition` is a digest of all that determines the online values. `moves_back`: the store holds a later moment
    than the requested one.
    """

    view: ViewFacts
    definition: str
    since: datetime | None
    newest: int
    whole: bool
    moves_back: bool

    @property
    def name(self) -> str:
        return self.view.name


@dataclass(frozen=True)
class Planner:
    """Plans one materialisation into the online store of type `store`, as of `moment`; `whole`: everything is read."""

    connection: psycopg.Connection
    store: str
    moment: datetime
    whole: bool

    @property
    def watermarks(self) -> Watermarks:
        return Watermarks(self.connection, self.store)

    def plan(self, view: ViewFacts) -> ViewPlan:
        """Raises ConfigurationError if a view has to be rewritten and nothing was loaded under its source's name."""
        # Feast's own specification changes with every apply.
        definition = hashlib.sha256(json.dumps((self.store, view.types, view.text)).encode()).hexdigest()
        redefined = self.watermarks.redefined(view.name, view.text)
        last = NO_WATERMARK if self.whole or redefined else self.watermarks.last(view.name, definition, self.moment)
        since, newest = self.watermarks.new_rows(view.source, last, self.moment)
        current = self.watermarks.as_of(view.name)
        moves_back = current is not None and current > self.moment
        if since is None and (moves_back or self.whole):
            since = self.moment  # nothing to read, but what the store holds must be removed
        if since is None and redefined:
            raise ConfigurationError(
                f"{view.name} is defined otherwise than its rows online, and no rows of {view.source!r} were loaded up "
                f"to {self.moment.isoformat()} to rewrite it. Name its source after the table that it reads."
            )
        return ViewPlan(view, definition, since=since, newest=newest, whole=last == NO_WATERMARK, moves_back=moves_back)
