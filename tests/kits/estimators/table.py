"""The table of docs/models/estimators.md: each estimator and what becomes of it."""

from collections.abc import Mapping

from tests.kits.estimators.classifiers import classifiers, of_several_classes, of_two_classes
from tests.kits.estimators.problems import NUMBER, SEVERAL, TWO, Case, Problem, doubled
from tests.kits.estimators.regressors import regressors
from tests.kits.estimators.transformers import encoders, imputers, transformers

SECTIONS: Mapping[str, tuple[Case, ...]] = {
    "Classifiers": (*classifiers(), *of_two_classes(), *of_several_classes()),
    "Regressors": tuple(regressors()),
    "Imputers": tuple(imputers()),
    "Encoders of text": tuple(encoders()),
    "Transformers of numbers": tuple(transformers()),
}


OF_ONE_TARGET = {case.title: TWO for case in of_two_classes()} | {case.title: SEVERAL for case in of_several_classes()}


def problems(section: str, case: Case) -> tuple[Problem, ...]:
    """The targets for which the outcome of a case holds."""
    if section == "Regressors":
        return (NUMBER,)
    return (OF_ONE_TARGET[case.title],) if case.title in OF_ONE_TARGET else (TWO, SEVERAL)


def markdown() -> str:
    """The sections as Markdown: each estimator and what becomes of it."""
    parts = []
    for section, listed in SECTIONS.items():
        lines = [f"| `{each.title}` | {each.outcome.replace('|', ' ')} |" for each in listed]
        parts.append("\n".join([f"## {section}", "", "| Estimator | What becomes of it |", "|---|---|", *lines, ""]))
    return "\n".join(parts).replace(doubled.__module__, "your_module")
