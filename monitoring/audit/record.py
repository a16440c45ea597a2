"""Audit -> a run of kind `audit` with figures, which name no entity and no request: an erasure need not reach them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

import psycopg

from asof.ledger.request_id import new_request_id
from asof.settings import Settings
from monitoring.audit.audit import Audit
from monitoring.audit.findings import INFORMATION, Finding
from monitoring.audit.judging.tally import FindingShare
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.records.runs import MonitorRun, save_run
from training.data.snapshots.provenance import actor, code_version


def record_audit(settings: Settings, audit: Audit, started_at: datetime) -> MonitorRun:
    """Saves the run. Raises ConfigurationError where our role may not create the tables."""
    figures = list(figures_of(audit))
    moments = sorted({each.as_of for each in figures})
    run = MonitorRun(
        run=UUID(new_request_id()),
        use_case=audit.use_case,
        kind="audit",
        started_at=started_at,
        known_at=audit.known_at,
        first=moments[0] if moments else None,
        last=moments[-1] if moments else None,
        answers=audit.answers,
        actor=actor(settings),
        code_version=str(code_version()),
        detail={
            "since": audit.since.isoformat(),
            "until": audit.until.isoformat(),
            "sample": audit.sample,
            "entities": audit.entities,
            "values": audit.values,
            "refreshing": audit.refreshing,
            "erased": audit.erased,
            "not_audited": dict(audit.not_audited),
        },
    )
    with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
        save_run(connection, run, figures)
    return run


def figures_of(audit: Audit) -> Iterator[Figure]:
    """One for each version, moment and kind; its value is the share of compared values, None where there were none.

    `detail` has the number of `values`, of audited `entities`, and of values by feature. A leak, which is none of a
    moment's answers, is that of the version's newest, with the moment of its `training_set`.
    """
    newest: dict[str, datetime] = {}
    for window in audit.windows:
        served = len(window.shares) > 1
        as_of = window.as_of if served else newest.get(window.version, window.as_of)
        if served:
            newest[window.version] = window.as_of
        for each in window.shares:
            if each.compared:
                yield _figure(each, window.version, as_of, {} if served else {"training_set": str(window.as_of)})


def _figure(share: FindingShare, version: str, as_of: datetime, more: Mapping[str, str]) -> Figure:
    return Figure(
        Subject.AUDIT,
        share.finding.value,
        share.share,
        share.compared,
        as_of,
        version,
        low=share.low,
        high=share.high,
        verdict=_verdict(share),
        detail={"values": share.values, "entities": share.entities, "features": dict(share.features), **more},
    )


def _verdict(share: FindingShare) -> Verdict:
    """One value of an error is a reason to act; late data is none."""
    if not share.values or share.finding is Finding.SAME:
        return Verdict.OK
    return Verdict.NOTICE if share.finding in INFORMATION else Verdict.ALARM
