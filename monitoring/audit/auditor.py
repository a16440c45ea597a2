"""Answers and the feature views behind them -> findings, counted: memory is that of one view at a time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asof.features.join_keys import keys_of_extract
from asof.ledger.reading.kept_answer import KeptModel
from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.audit.findings import SERVED, Finding
from monitoring.audit.judging.firsts import Firsts, version_of
from monitoring.audit.judging.judge import CODES, NOT_AUDITED, Asked, ViewJudge
from monitoring.audit.judging.leaks import leaks
from monitoring.audit.judging.tally import Tally, counted
from monitoring.audit.reading.rows import LATER, Tolerance, ViewRows, from_microseconds, in_microseconds, read_rows
from monitoring.audit.reading.sample import Stratum
from monitoring.audit.reading.served import NEVER, Moments, ServedAnswers, ServedValues
from monitoring.audit.reading.sources import (
    AuditedEntities,
    AuditedViews,
    ErasedEntities,
    audited_entities,
    audited_views,
    redefined,
)
from monitoring.audit.reading.trained import Trained, read_trained, values_of
from training.audit.lineage.loads import Loads
from training.data.snapshots.owned_tables import views
from training.data.snapshots.tables import Connection

GIVEN, OVERRIDDEN = "given in the request", "overridden in the request"
UNTYPED, REDEFINED = "of a type that is not compared", "of a view that is defined otherwise now"
BEING_ERASED = "of an entity that is being erased"
UNREGISTERED, OTHER_KEYS = "of a view or feature that is not registered now", "of an entity that has not the keys"


@dataclass(frozen=True)
class Read:
    """The audited answers by model, and the numbers of their strata."""

    answers: Sequence[ServedAnswers] = ()
    strata: Sequence[Stratum] = ()
    erased: int = 0


class Auditor:
    """`then` is the moment of the audit, and what it tolerates."""

    def __init__(
        self,
        settings: Settings,
        use_case: UseCase,
        connection: Connection,
        read: Read,
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
            if not {*source.keys} <= {*self._entities.keys.names}:
                self._count(OTHER_KEYS, self._values_of(name))
                continue
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

    def found(self) -> dict[str, Any]:
        """The members of an Audit that were counted."""
        notes = [*self._views.notes, *(each.note for each in self._trained.values() if each.note)]
        return {
            "answers": sum(map(len, self._read.answers)),
            "entities": len(self._entities.codes),
            "population": max((each.entities for each in self._read.strata), default=0),
            "values": sum(int(each.sum()) for each in self._counts),
            "refreshing": self._refreshing,
            "shares": self._tally.total(),
            "windows": tuple(self._tally.windows()),
            "first": tuple(self._firsts.found[each] for each in Finding if each in self._firsts.found),
            "not_audited": dict(self._not_audited),
            "erased": self._read.erased,
            "notes": (*notes, *(text for each in self._redefined.values() for text in each.values())),
        }

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

    def _values_of(self, view: str) -> int:
        return sum(len(answers) for answers in self._read.answers for each in answers.features if each.view == view)

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
