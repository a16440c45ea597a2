"""The use cases, what is in Production of each, and whether it is still right: for the first page."""

from collections.abc import Collection
from dataclasses import dataclass

from asof.serving.access.scopes import ADMIN
from asof.settings import Settings
from asof.use_cases import load_all
from monitoring.report.evidence import read_evidence
from monitoring.report.judgement import Judgement, judge
from training.release.promotion.history import Entry


@dataclass(frozen=True)
class Card:
    """`current` is the newest entry of the history, None where there is none; `judgement` None where nothing is served.

    Both are None where the visitor may not see them.
    """

    name: str
    title: str
    current: Entry | None = None
    judgement: Judgement | None = None


def cards(settings: Settings, scopes: Collection[str]) -> list[Card]:
    """One for each use case that loads."""
    use_cases = load_all()[0]
    if ADMIN not in scopes:
        return [Card(each.name, each.title) for each in use_cases]
    every = [(each, read_evidence(settings, each)) for each in use_cases]
    return [
        Card(
            use_case.name,
            use_case.title,
            evidence.promotions[-1] if evidence.promotions else None,
            judge(evidence) if evidence.figures else None,
        )
        for use_case, evidence in every
    ]
