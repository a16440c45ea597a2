"""A use case and a span of time -> Audit: what each served value of a sample of entities turned out to be.

Of a value v with moment t that was served at T, the rows of its entity say what was known at T and what is known now;
`monitoring.audit.findings` defines the kinds. The ledger is read by one COPY for each model, each view by one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

import numpy as np
import psycopg
from numpy.typing import NDArray

from asof.features.join_keys import keys_of_extract
from asof.ledger.reading.find import reading_ledger
from asof.ledger.reading.kept_answer import KeptModel
from asof.ledger.reading.moved import MovedMonth, moved_months, moved_text
from asof.settings import Settings
from asof.use_case import FromStore, UseCase
from monitoring.audit.findings import INFORMATION, SERVED, Divergence, Finding
from monitoring.audit.firsts import Firsts, version_of
from monitoring.audit.judge import CODES, NOT_AUDITED, Asked, ViewJudge
from monitoring.audit.rows import LATER, Tolerance, ViewRows, from_microseconds, in_microseconds, read_rows
from monitoring.audit.sample import Span, Stratum
from monitoring.audit.served import NEVER, Moments, ServedAnswers, ServedValues, read_served
from monitoring.audit.sources import (
    AuditedEntities,
    AuditedViews,
    ErasedEntities,
    audited_entities,
    audited_views,
    redefined,
)
from monitoring.audit.tally import FindingShare, Tally, Window, counted
from monitoring.audit.trained import Trained, leaks, read_trained, values_of
from training.audit.lineage.loads import Loads
from training.data.snapshots.owned_tables import require_own_tables, views
from training.data.snapshots.tables import LOAD_LOCK, Connection

GIVEN, OVERRIDDEN = "given in the request", "overridden in the request"
UNTYPED, REDEFINED = "of a type that is not compared", "of a view that is defined otherwise now"
BEING_ERASED = "of an entity that is being erased"
UNREGISTERED, OTHER_KEYS = "of a view or feature that is not registered now", "of an entity that has not the keys"
DAYS = 31
"""Answers of so many days are audited by default."""


@dataclass(frozen=True)
class Audit:
    """What came of it. `shares` has each finding; `windows` the same by version and moment; `first` the first of each.

    `answers` of `entities` were audited, of `population` entities with answers; `values` were compared. `refreshing`
    values are right, and were read while newer ones were on their way. `not_audited` counts values by the reason,
    `erased` the answers that were erased; `moved` are months of answers in files. `notes` are sentences on what could
    not be looked at.
    """

    use_case: str
    since: datetime
    until: datetime
    known_at: datetime
    sample: float
    answers: int = 0
    entities: int = 0
    population: int = 0
    values: int = 0
    refreshing: int = 0
    shares: tuple[FindingShare, ...] = ()
    windows: tuple[Window, ...] = ()
    first: tuple[Divergence, ...] = ()
    not_audited: Mapping[str, int] = field(default_factory=dict)
    erased: int = 0
    moved: tuple[MovedMonth, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """Values with a finding that asks for action."""
        return sum(each.values for each in self.shares if each.finding not in INFORMATION)


def audit(
    settings: Settings,
    use_case: UseCase,
    span: Span,
    *,
    tolerance: Tolerance,
    progress: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Audits the answers of a span.

    Raises ConfigurationError if a table belongs to another use case, TrainingSetError if a column is not of its type.
    """
    begun = Audit(use_case.name, span.since, span.until, datetime.now(UTC), span.share)
    if not isinstance(use_case.source, FromStore):
        note = f"The features of {use_case.name} come in the request: nothing was looked up, so nothing is audited."
        return Audit(**vars(begun) | {"notes": (note,)})
    progress("reading answers")
    read = _read_answers(settings, use_case, span)
    moved = tuple(moved_months(settings, since=span.since, until=span.until))
    with _connected(settings, use_case) as (connection, now):
        auditor = _Auditor(settings, use_case, connection, read, (now, tolerance))
        auditor.run(progress)
        return auditor.result(Audit(**vars(begun) | {"known_at": now, "moved": moved}))


@dataclass(frozen=True)
class _Read:
    """The audited answers by model, and the numbers of their strata."""

    answers: Sequence[ServedAnswers] = ()
    strata: Sequence[Stratum] = ()
    erased: int = 0


def _read_answers(settings: Settings, use_case: UseCase, span: Span) -> _Read:
    with reading_ledger(settings, use_case.name) as ledger:
        models = ledger.models
    if not models:
        return _Read()
    with psycopg.connect(settings.ledger_conninfo()) as connection:
        strata = span.strata(connection, list(models))
        answers = [read_served(connection, models[each], span, stratum) for each, stratum in strata.items()]
        return _Read(answers, list(strata.values()), span.erased(connection, list(models)))


@contextmanager
def _connected(settings: Settings, use_case: UseCase) -> Iterator[tuple[Connection, datetime]]:
    """One state of all tables, after any load that is at work; and its moment."""
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        require_own_tables(connection, use_case.extract)
        connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOAD_LOCK,))
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SET LOCAL jit = off")
            ((now,),) = connection.execute("SELECT clock_timestamp()")
            yield connection, now.astimezone(UTC)


class _Auditor:
    """The views one after another, so that memory is that of one."""

    def __init__(
        self,
        settings: Settings,
        use_case: UseCase,
        connection: Connection,
        read: _Read,
        then: tuple[datetime, Tolerance],
    ) -> None:
        self._settings, self._connection, self._read = settings, connection, read
        self._now, self._tolerance = then
        keys = keys_of_extract(use_case.extract)
        texts = chain.from_iterable(each.entities.tolist() for each in read.answers)
        self._entities: AuditedEntities = audited_entities(texts, keys)
        self._codes = [self._codes_of(each) for each in read.answers]
        models = [each.model for each in read.answers]
        self._views: AuditedViews = audited_views(settings, models)
        self._trained = {each.run_id: self._trained_by(use_case, each) for each in models if each.run_id}
        self._redefined = {each.run_id: self._redefined_since(each) for each in models}
        self._erased = ErasedEntities(settings, connection, use_case.extract)
        self._firsts = Firsts(Loads(connection), keys, views(connection), settings.clock)
        whole = all(len(np.unique(codes)) == n.entities for codes, n in zip(self._codes, read.strata, strict=True))
        self._tally, self._not_audited, self._refreshing = Tally(whole), Counter[str](), 0
        self._counts = [np.zeros((len(each), len(SERVED)), dtype=np.int64) for each in read.answers]
        self._windows = [each.targets.copy() for each in read.answers]
        self._judged: list[tuple[int, str, NDArray[np.int8]]] = []

    def run(self, progress: Callable[[str], None]) -> None:
        """Reads and judges every view."""
        for answers in self._read.answers:
            self._count(GIVEN, len(answers) * len(answers.given))
            self._count(UNTYPED, len(answers) * len(answers.untyped))
        for name, source in self._views.sources.items():
            progress(f"auditing {name}")
            types = self._types(name)
            entities, places = self._entities.of_view(source)
            rows = read_rows(
                self._connection, source, types, entities, keys=self._entities.keys, tolerance=self._tolerance
            )
            for number in range(len(self._read.answers)):
                self._judge(number, rows, types, places)
            self._judge_training(rows, types, places)
        self._count_unregistered()
        self._add_up()

    def result(self, begun: Audit) -> Audit:
        """With all that was counted."""
        notes = [*self._views.notes, *(each.note for each in self._trained.values() if each.note)]
        notes += [text for each in self._redefined.values() for text in each.values()]
        moved = moved_text(begun.moved)
        windows = tuple(self._tally.windows())
        return Audit(
            **vars(begun)
            | {
                "answers": sum(map(len, self._read.answers)),
                "entities": len(self._entities.codes),
                "population": max((each.entities for each in self._read.strata), default=0),
                "values": sum(int(each.sum()) for each in self._counts),
                "refreshing": self._refreshing,
                "shares": self._tally.total(),
                "windows": windows,
                "first": tuple(self._firsts.found[each] for each in Finding if each in self._firsts.found),
                "not_audited": dict(self._not_audited),
                "erased": self._read.erased,
                "notes": tuple(dict.fromkeys([*notes, *([moved] if moved else [])])),
            }
        )

    def _judge(self, number: int, rows: ViewRows, types: Mapping[str, str], places: NDArray[np.int64]) -> None:
        """The values of one view in the answers of one model."""
        answers = self._read.answers[number]
        features = [each for each in answers.features if each.view == rows.source.view and each.name in types]
        if rows.source.view in self._redefined[answers.model.run_id]:
            self._count(REDEFINED, len(answers) * len(features))
            return
        codes = places[self._codes[number]]
        clock = in_microseconds(self._settings.clock) if self._settings.clock else LATER
        judge = ViewJudge(
            rows, Asked(codes, answers.at, in_microseconds(self._now), clock, self._tolerance.microseconds[1])
        )
        windows = self._windows[number]
        np.maximum(windows, judge.snapshot, out=windows, where=answers.targets == NEVER)
        for served in features:
            judged = judge.judge(served)
            judged.findings[codes < 0] = NOT_AUDITED
            self._leave_out_erased(judged.findings, rows, number, codes)
            self._firsts.look(rows, answers, served, judged)
            self._counts[number] += counted(judged.findings)
            self._judged.append((number, served.name, judged.findings))
            self._refreshing += int(judged.refreshing.sum())
            self._count(OTHER_KEYS, int((codes < 0).sum()))
            self._count(OVERRIDDEN, int((served.overridden & (codes >= 0)).sum()))

    def _leave_out_erased(
        self, findings: NDArray[np.int8], rows: ViewRows, number: int, codes: NDArray[np.int64]
    ) -> None:
        """Values of entities whose rows are gone, and that have a tombstone."""
        unknown = (findings == CODES[Finding.UNKNOWN_VALUE]) & ~np.isin(codes, rows.entities)
        if unknown.any():
            own = self._codes[number]
            gone = unknown & np.isin(own, self._erased.among(self._entities, np.unique(own[unknown])))
            findings[gone] = NOT_AUDITED
            self._count(BEING_ERASED, int(gone.sum()))

    def _judge_training(self, rows: ViewRows, types: Mapping[str, str], places: NDArray[np.int64]) -> None:
        """The values of one view in the training sets."""
        texts = list(self._entities.codes)
        by_run = {each.model.run_id: each for each in self._read.answers}
        for run_id, trained in self._trained.items():
            facts, answers = trained.facts, by_run[run_id]
            if facts is None or trained.entities is None or rows.source.view in self._redefined[run_id]:
                continue
            codes = places[trained.entities]
            for feature in facts.contract.features:
                if feature.view != rows.source.view or types.get(feature.name) != feature.dtype:
                    continue
                values = values_of(trained, feature.name, feature.dtype)
                found = leaks(rows, facts, codes, values)
                self._tally.add_leaks(version_of(answers), facts.as_of, trained.entities, found.leaked.astype(np.int64))
                named = [texts[code] for code in trained.entities]
                self._firsts.look_at_training(rows, (version_of(answers), facts), values, (found, named))

    def _add_up(self) -> None:
        """Once the windows of all answers are known."""
        for windows, answers in zip(self._windows, self._read.answers, strict=True):
            nothing = windows == NEVER
            windows[nothing] = _months(answers.at[nothing])
        for number, answers in enumerate(self._read.answers):
            self._tally.add_served(
                version_of(answers), self._windows[number], self._codes[number], self._counts[number]
            )
        for number, name, findings in self._judged:
            self._tally.add_feature(version_of(self._read.answers[number]), self._windows[number], name, findings)

    def _codes_of(self, answers: ServedAnswers) -> NDArray[np.int64]:
        codes = self._entities.codes
        return np.array([codes[text] for text in answers.entities.tolist()], dtype=np.int64)

    def _trained_by(self, use_case: UseCase, model: KeptModel) -> Trained:
        return read_trained(self._settings, use_case, model, self._entities.codes)

    def _redefined_since(self, model: KeptModel) -> Mapping[str, str]:
        contract = self._views.contracts.get(model.feature_service or "")
        trained = self._trained.get(model.run_id)
        return redefined(self._settings, contract, trained.facts) if contract and trained else {}

    def _types(self, view: str) -> dict[str, str]:
        """Of the view's features those that a model has, and whose type is the registered one."""
        registered = self._views.types[view]
        served = {each.name: each.type for every in self._read.answers for each in every.features if each.view == view}
        return {name: dtype for name, dtype in registered.items() if served.get(name) == dtype}

    def _count_unregistered(self) -> None:
        for answers in self._read.answers:
            lost = [each for each in answers.features if not self._is_registered(each)]
            self._count(UNREGISTERED, len(answers) * len(lost))

    def _is_registered(self, served: ServedValues) -> bool:
        return self._views.types.get(served.view, {}).get(served.name) == served.type

    def _count(self, reason: str, number: int) -> None:
        if number:
            self._not_audited[reason] += number


def _months(at: Moments) -> Moments:
    """The first moment of each month, for answers before any snapshot."""
    days = [from_microseconds(each).replace(day=1, hour=0, minute=0, second=0, microsecond=0) for each in at.tolist()]
    return np.array([in_microseconds(each) for each in days], dtype=np.int64)
