"""The first value of each kind of finding, with its lineage: the row that tells it, its load, and materialisations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from asof.extracts.cadence import moment_text
from asof.features.join_keys import JoinKeys
from asof.model_facts import ModelFacts
from monitoring.audit.findings import NEXT_STEPS, SERVED, Divergence, Finding
from monitoring.audit.judging.difference import difference
from monitoring.audit.judging.judge import CODES, Judged
from monitoring.audit.judging.leaks import Leaks
from monitoring.audit.reading.rows import Loaded, ViewRows, covering, from_microseconds, in_microseconds
from monitoring.audit.reading.served import NEVER, ServedAnswers, ServedValues
from training.audit.lineage.loads import Loads
from training.audit.lineage.values import Materialised


@dataclass
class Firsts:
    """By finding the first value so far. `loads` are those of the database, `keys` the entities'.

    `in_place` are the tables that are used in place; `clock` is that of the services, if it is set.
    """

    loads: Loads
    keys: JoinKeys
    in_place: frozenset[str]
    clock: datetime | None
    found: dict[Finding, Divergence] = field(default_factory=dict)

    def look(self, rows: ViewRows, answers: ServedAnswers, served: ServedValues, judged: Judged) -> None:
        """At one feature of answers, the oldest of which come first."""
        for finding in SERVED[1:]:
            has = judged.findings == CODES[finding]
            if has.any():
                place = int(np.argmax(has))
                earlier = self.found.get(finding)
                if earlier is None or from_microseconds(answers.at[place]) < earlier.at:
                    self.found[finding] = self._divergence(finding, rows, (answers, served, judged), place)

    def look_at_training(
        self, rows: ViewRows, trained: tuple[str, ModelFacts], served: ServedValues, found: tuple[Leaks, list[str]]
    ) -> None:
        """At one feature of a training set, whose `found` entities are named."""
        (version, facts), (leaks, entities) = trained, found
        earlier = self.found.get(Finding.TRAINING_LEAK)
        if not leaks.leaked.any() or (earlier and earlier.at <= facts.known_at):
            return
        place = int(np.argmax(leaks.leaked))
        row = int(leaks.row[place])
        value = _row(rows, served, row)
        known = _before(rows, row, facts)
        created = from_microseconds(rows.created[row])
        late = f"was created on {moment_text(created)}, and the set is as known on {moment_text(facts.known_at)}"
        ahead = f"is as of {moment_text(from_microseconds(rows.moments[row]))}, after {moment_text(facts.as_of)}"
        self.found[Finding.TRAINING_LEAK] = Divergence(
            finding=Finding.TRAINING_LEAK,
            request_id="",
            at=facts.known_at,
            entity=self.keys.members(self.keys.parse(entities[place])),
            version=version,
            view=rows.source.view,
            table=rows.source.name,
            feature=served.name,
            type=served.type,
            served=value,
            served_as_of=from_microseconds(rows.moments[row]),
            offline=None if known is None else _row(rows, served, known),
            **_times(rows, known),
            load=self._load(rows, row),
            materialised=None,
            covered=None,
            why=f"The row of this value {late if created > facts.known_at else ahead}.",
            next_step=NEXT_STEPS[Finding.TRAINING_LEAK],
        )

    def _divergence(
        self, finding: Finding, rows: ViewRows, own: tuple[ServedAnswers, ServedValues, Judged], place: int
    ) -> Divergence:
        answers, served, judged = own
        at, moment = from_microseconds(answers.at[place]), int(served.moments[place])
        row = int(judged.row[place]) if judged.row[place] >= 0 else None
        load = None if row is None else _loaded(rows, row)
        last = next((each for each in reversed(rows.materialisations) if each.finished_at <= at), None)
        covered = covering(rows.materialisations, load) if load else None
        return Divergence(
            finding=finding,
            request_id=answers.requests[place].as_py(),
            at=at,
            entity=self.keys.members(self.keys.parse(answers.entities[place])),
            version=version_of(answers),
            view=served.view,
            table=rows.source.name,
            feature=served.name,
            type=served.type,
            served=_value(served, place),
            served_as_of=None if moment == NEVER else from_microseconds(moment),
            offline=None if row is None else _row(rows, served, row),
            **_times(rows, row),
            load=None if row is None else self._load(rows, row),
            materialised=last,
            covered=covered,
            why=self._why(finding, rows, (served, place), _Then(at, row, last, covered)),
            next_step=NEXT_STEPS[finding],
        )

    def _why(self, finding: Finding, rows: ViewRows, value: tuple[ServedValues, int], then: "_Then") -> str:
        served, place = value
        match finding:
            case Finding.LATE_DATA:
                assert then.row is not None  # noqa: S101 - it is how the finding is told
                return f"A row with another value became known on {_known(rows, then.row)}, after the answer."
            case Finding.STORE_BEHIND:
                return _behind(rows, then)
            case Finding.FUTURE_VALUE:
                moment = from_microseconds(served.moments[place])
                if moment > min(then.at, self.clock or then.at) or then.row is None:
                    return f"It is as of {moment_text(moment)}, a moment that had not come."
                return f"Its row became known on {_known(rows, then.row)}, after the answer."
            case Finding.SERVING_BUG:
                assert then.row is not None  # noqa: S101 - it is how the finding is told
                others = {n: _cell(rows, n, then.row) for n in rows.columns if n != served.name}
                what = difference(_value(served, place), _row(rows, served, then.row), others)
                return f"The row of that moment has another value: {what}.{self._others(rows)}"
            case _:
                return f"{rows.source.name} has no row of this entity of that moment.{self._others(rows)}"

    def _others(self, rows: ViewRows) -> str:
        """A table in place belongs to others."""
        name = rows.source.name
        return f" {name} is used in place: others may have changed its rows since." if name in self.in_place else ""

    def _load(self, rows: ViewRows, row: int) -> Any:
        times = from_microseconds(rows.moments[row]), from_microseconds(rows.created[row])
        return self.loads.of(rows.source.name, *times)


@dataclass(frozen=True)
class _Then:
    """The answer's time, the row that tells the finding, the last materialisation before it, and the row's own."""

    at: datetime
    row: int | None
    last: Materialised | None
    covered: Materialised | None


def version_of(answers: ServedAnswers) -> str:
    """The number of the version, or its run where it is not registered."""
    return answers.model.version or f"run {answers.model.run_id[:8]}"


def _behind(rows: ViewRows, then: _Then) -> str:
    if then.row is None:
        return "The entity had a row, and the store had none."
    load = _loaded(rows, then.row)
    newer = f"Load {load.load_id}" if load else f"A row that was known since {_known(rows, then.row)}"
    if then.covered and then.covered.finished_at <= then.at:
        return f"{newer} was written by materialisation {then.covered.materialisation_id}, and the store lacked it."
    number = then.last.materialisation_id if then.last else None
    before = f"the last one was {number}, up to load {then.last.load_id}" if then.last else "there was none"
    since = f"; {then.covered.materialisation_id} wrote it later" if then.covered else ""
    return f"{newer} had waited for a materialisation of {rows.source.view}: {before}{since}."


def _known(rows: ViewRows, row: int) -> str:
    return moment_text(from_microseconds(rows.known[row]))


def _loaded(rows: ViewRows, row: int) -> Loaded | None:
    times = int(rows.moments[row]), int(rows.created[row])
    return next((each for each in rows.loads if (each.as_of, each.known_at) == times), None)


def _before(rows: ViewRows, row: int, facts: ModelFacts) -> int | None:
    """The newest row of the same entity that a training set may have had."""
    may = (rows.created <= in_microseconds(facts.known_at)) & (rows.moments <= in_microseconds(facts.as_of))
    places = np.flatnonzero(may & (rows.entities == rows.entities[row]))
    return int(places[-1]) if len(places) else None


def _times(rows: ViewRows, row: int | None) -> Mapping[str, Any]:
    moments = (None, None) if row is None else (rows.moments[row], rows.created[row])
    own = [None if each is None else from_microseconds(each) for each in moments]
    return dict(zip(("offline_as_of", "offline_created_at"), own, strict=True))


def _value(served: ServedValues, place: int) -> Any:
    return _plain(served.values[place], served.type, null=bool(served.nulls[place]))


def _row(rows: ViewRows, served: ServedValues, row: int) -> Any:
    column = rows.columns[served.name]
    return _plain(column.values[row], served.type, null=bool(column.nulls[row]))


def _cell(rows: ViewRows, name: str, row: int) -> Any:
    column = rows.columns[name]
    return _plain(column.values[row], "", null=bool(column.nulls[row]))


def _plain(value: Any, dtype: str, *, null: bool) -> Any:
    if null:
        return None
    plain = value.item() if isinstance(value, np.generic) else value
    return bool(plain) if dtype == "Bool" else plain
