"""The use cases and what is in Production of each, for the first page."""

from collections.abc import Collection
from dataclasses import dataclass

from asof.serving.access.scopes import ADMIN
from asof.settings import Settings
from asof.use_cases import load_all
from console.pages.production import in_production
from training.release.promotion.history import Entry


@dataclass(frozen=True)
class Card:
    """`current` is the newest entry of the history, None where there is none or the visitor may not see it."""

    name: str
    title: str
    current: Entry | None


def cards(settings: Settings, scopes: Collection[str]) -> list[Card]:
    """One for each use case that loads."""
    cards = []
    for use_case in load_all()[0]:
        report = in_production(settings, use_case) if ADMIN in scopes else None
        current = report.entries[-1] if report and report.entries else None
        cards.append(Card(use_case.name, use_case.title, current))
    return cards
