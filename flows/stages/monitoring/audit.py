"""The stage `audit`: compares served values with the snapshots as they were known then, and as they are known now."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from asof.settings import Moment
from asof.use_cases import default_name, load
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_tracking
from flows.runtime.progress import log
from flows.runtime.steps import step
from monitoring.audit.audit import DAYS, Audit
from monitoring.audit.audit import audit as audit_answers
from monitoring.audit.findings import INFORMATION
from monitoring.audit.reading.rows import Tolerance
from monitoring.audit.reading.sample import Span, parse_share
from monitoring.audit.record import record_audit

SAMPLE = "5%"


@step("audit")
def compare(use_case: str, span: Span) -> Audit:
    """Audits the answers of a span, and saves the run with its figures."""
    settings, started = settings_with_tracking(), datetime.now(UTC)
    tolerance = Tolerance(timedelta(minutes=settings.audit_lag_minutes))
    done = audit_answers(settings, load(use_case), span, tolerance=tolerance, progress=log.info)
    record_audit(settings, done, started)
    return done


def audit_result(audit: Audit) -> dict[str, Any]:
    """The audit as JSON data; its shares are also published as an artifact, without any entity."""
    shares = [asdict(each) | {"severity": "info" if each.finding in INFORMATION else "error"} for each in audit.shares]
    published = [{"finding": each["finding"], "values": each["values"], "share": each["share"]} for each in shares]
    publish_table("audit", published, summary(audit))
    return asdict(audit) | {"shares": shares, "errors": audit.errors, "summary": summary(audit)}


def summary(audit: Audit) -> str:
    """What came of it, in one sentence."""
    of = f"{audit.values:,} values of {audit.entities:,} entities"
    if not audit.values:
        return f"No value of {audit.use_case} to audit."
    late = next((each.values for each in audit.shares if each.finding == "late-data"), 0)
    then = f"; {late:,} would be others now" if late else ""
    if audit.errors:
        return f"{audit.errors:,} of {of} have an error{then}."
    return f"No error among {of}{then}."


def audit(
    use_case: str | None = None,
    sample: str = SAMPLE,
    since: Moment | None = None,
    until: Moment | None = None,
    as_of: Moment | None = None,
) -> dict[str, Any]:
    """Audits a share of the entities that got answers in the last 31 days, or since and until given moments."""
    end = until or datetime.now(UTC)
    span = Span(since or end - timedelta(days=DAYS), end, parse_share(sample), as_of)
    return audit_result(compare(use_case or default_name(from_store=True), span))
