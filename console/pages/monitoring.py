"""Whether the model is still right, the open alerts, and the page of `flows report` as it would be written now."""

from console.visit import Context, Visit
from monitoring.report.evidence import read_evidence
from monitoring.report.judgement import judge
from monitoring.report.page import page


def view(visit: Visit) -> Context:
    evidence = read_evidence(visit.settings, visit.use_case)
    return {
        "evidence": evidence,
        "judgement": judge(evidence),
        "alerts": evidence.open_alerts,
        "last": evidence.runs[0] if evidence.runs else None,
        "command": f"python -m flows monitor {visit.use_case.name}",
    }


def document(visit: Visit) -> str:
    return page(read_evidence(visit.settings, visit.use_case))
