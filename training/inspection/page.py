"""An Examination -> a self-contained HTML page."""

import base64

from training.inspection.examination import Examination, FindingRecord
from training.inspection.finding import Severity
from training.inspection.pictures import pictures


def page(examination: Examination, title: str) -> str:
    """The page as HTML: findings by severity, and plots of the newest months."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    template = Environment(
        loader=PackageLoader("training.inspection", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("page.html")
    return template.render(
        title=title,
        examination=examination,
        counts={severity: len(_of(examination, severity)) for severity in Severity},
        groups=[(severity, _of(examination, severity)) for severity in Severity if _of(examination, severity)],
        pictures={name: base64.b64encode(png).decode() for name, png in pictures(examination).items()},
    )


def _of(examination: Examination, severity: Severity) -> list[FindingRecord]:
    return [each for each in examination.findings if each.finding.severity is severity]
