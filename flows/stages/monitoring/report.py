"""The page of a monitoring run, kept in ASOF_HOME and named by an artifact of the flow run."""

from pathlib import Path
from uuid import UUID

from asof.settings import Settings
from asof.use_case import UseCase
from flows.runtime.artifacts import publish_text
from flows.runtime.progress import log
from monitoring.report.evidence import Evidence
from monitoring.report.judgement import judge
from monitoring.report.keep import keep_page, page_of_now
from monitoring.report.page import write_page


def publish_page(settings: Settings, use_case: UseCase, run: UUID, *, new: bool) -> str:
    """Writes the page of now, and keeps it as that of the run where there is something new; returns its path."""
    log.info("writing the page")
    path = page_of_now(settings, use_case)
    evidence = write_page(settings, use_case, path)
    if new:
        path = keep_page(settings, use_case, run)
    publish_text("monitoring", _as_markdown(evidence, path), f"Is the model of {use_case.name} still right?")
    return str(path)


def write_report(settings: Settings, use_case: UseCase, path: Path) -> dict[str, object]:
    """Writes the page of what is known now; returns what it says at the top."""
    evidence = write_page(settings, use_case, path)
    judgement = judge(evidence)
    return {
        "use_case": use_case.name,
        "page": str(path),
        "version": evidence.version,
        "state": judgement.state.value,
        "sentence": judgement.sentence,
        "reasons": list(judgement.reasons),
        "open_alerts": len(evidence.open_alerts),
        "figures": len(evidence.figures),
    }


def _as_markdown(evidence: Evidence, path: Path) -> str:
    judgement = judge(evidence)
    reasons = "".join(f"- {each}\n" for each in judgement.reasons)
    return f"**{judgement.sentence}**\n\n{reasons}\nPage: `{path}`\n"
