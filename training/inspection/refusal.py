"""An Examination -> nothing, or an InspectionError: no model is trained on errors that nobody has acknowledged."""

from asof.errors import InspectionError
from asof.use_case import UseCase
from training.inspection.examination import Examination


def refuse_unacknowledged(examination: Examination, use_case: UseCase) -> None:
    """Raises InspectionError, naming each finding that stops and what to do about it."""
    if not (stopping := examination.stopping):
        return
    moment = examination.months[-1].as_of.date()
    told = "\n".join(f"- {each.finding.name}: {each.finding.sentence} {each.finding.advice}" for each in stopping)
    raise InspectionError(
        f"The data checks stop the training as of {moment}; nothing was trained.\n{told}\n"
        f"Put the data right and load it again; or, where a finding is known and harmless, add its name to "
        f"`acknowledged` in asof/use_cases/{use_case.name}/__init__.py, with a comment that says why. "
        f"`python -m flows inspect {moment}` shows all of it, with pictures.",
        [each.finding.name for each in stopping],
    )
