"""Figures of volume and of maturity: how much was answered, refused, missing, and how much of it can be judged."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from asof.ledger.reading.kept_answer import ERASED
from asof.ledger.schema import VERDICT_LETTERS
from monitoring.measuring.census import Count
from monitoring.outcomes.maturity import Maturity
from monitoring.records.figure import Figure, Subject, Verdict, VersionWindow
from training.metrics.statistics import share_interval

NAMES = {letter: name for name, letter in VERDICT_LETTERS.items()}
PRESENT, NULL, OUTSIDE = "P", "N", "O"


def volume_figures(
    of: VersionWindow, counts: Sequence[Count], *, nulls: Mapping[str, float], margin: float, min_rows: int
) -> Iterator[Figure]:
    """Answers, the share of refusals by code, and of each verdict by feature.

    `nulls` are the shares of nulls in the training rows, by feature. More missing or stale values than that by `margin`
    are an alarm, if the interval says so, too; values outside of the training range alone are none.
    """
    rows = sum(each.rows for each in counts)
    answered = sum(each.rows for each in counts if each.status == HTTPStatus.OK)
    yield of.figure(Subject.VOLUME, "answers", float(answered), rows)
    refused: Counter[str] = Counter()
    for each in counts:
        if each.code and each.code != ERASED:
            refused[each.code] += each.rows
    for code, number in sorted(refused.items()):
        yield _share(of, "refused", (number, rows), about=code)
    valued = [each for each in counts if each.has_values]
    seen = sum(each.rows for each in valued)
    for (feature, letter), number in sorted(_verdicts(valued).items()):
        training = nulls.get(feature, 0.0) if letter == NULL else 0.0
        figure = _share(
            of, "verdict", (number, seen), about=f"{feature}:{NAMES[letter]}", detail={"training": training}
        )
        yield figure if letter == OUTSIDE else _judged(figure, training + margin, min_rows)


def maturity_figures(of: VersionWindow, tally: Mapping[Maturity, int], *, overdue: bool) -> Iterator[Figure]:
    """The share of each maturity; incomplete outcomes that are `overdue` are an alarm."""
    rows = sum(tally.values())
    for maturity in Maturity if rows else ():
        late = overdue and maturity == Maturity.INCOMPLETE and tally[maturity]
        verdict = Verdict.ALARM if late else Verdict.OK
        yield of.figure(Subject.MATURITY, f"{maturity}_share", tally[maturity] / rows, rows, verdict=verdict)


def _share(of: VersionWindow, metric: str, share: tuple[int, int], **more: Any) -> Figure:
    number, rows = share
    low, high = share_interval(number, rows)
    return of.figure(Subject.VOLUME, metric, number / rows, rows, low=low, high=high, **more)


def _judged(figure: Figure, limit: float, min_rows: int) -> Figure:
    """An alarm where the share is beyond the limit and chance."""
    if figure.n < min_rows:
        return replace(figure, verdict=Verdict.TOO_FEW)
    return replace(figure, verdict=Verdict.ALARM if (figure.low or 0.0) > limit else Verdict.OK)


def _verdicts(counts: Sequence[Count]) -> Mapping[tuple[str, str], int]:
    """The rows by feature and letter, without values that are present."""
    numbers: Counter[tuple[str, str]] = Counter()
    for each in counts:
        for feature, letter in zip(each.features, each.verdicts or "", strict=False):
            if letter != PRESENT:
                numbers[feature, letter] += each.rows
    return numbers
