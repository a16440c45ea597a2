"""A challenger beside the version that answered -> Comparison, with its figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from asof.errors import DataError
from asof.ledger.reading.shadow import ShadowTally, Span, champions, latest_challenger, tally
from asof.settings import Settings
from asof.use_case import UseCase
from monitoring.records.figure import Figure, Subject, Verdict
from monitoring.shadow.features import Where, where_they_differ
from monitoring.shadow.outcomes import OnOutcomes, on_outcomes
from monitoring.shadow.pairs import Pairs, ValuedPairs, difference, read_pairs, read_values
from training.metrics.classification import Estimate
from training.metrics.regression import paired_mean
from training.metrics.statistics import psi, share_interval

EVER = datetime(1970, 1, 1, tzinfo=UTC)
SAMPLE = 20_000
"""Answers whose values are read, to tell where the predictions differ."""
QUANTILES = (0.5, 0.9, 0.99, 1.0)
MIN_ROWS = 200
"""Below which figures have no verdict."""


@dataclass(frozen=True)
class Differences:
    """How far predictions are apart (`monitoring.shadow.pairs.difference`): the mean and some quantiles of n answers.

    `shift` is the mean of the signed differences, None of several classes or one answer; `psi` that of the two samples.
    """

    mean: float
    quantiles: tuple[float, ...]
    shift: Estimate | None
    psi: float


@dataclass(frozen=True)
class Comparison:
    """`differing` is the share of other decisions with its interval, None of a number."""

    use_case: str
    challenger: str
    champion: str
    others: tuple[str, ...]
    """Further versions whose answers it scored; they are not compared."""
    tally: ShadowTally
    differing: Estimate | None
    differences: Differences
    where: tuple[Where, ...]
    outcomes: OnOutcomes
    as_of: datetime


def compare(
    settings: Settings, use_case: UseCase, version: str | None = None, *, since: datetime, until: datetime | None = None
) -> Comparison:
    """The challenger (None: the latest) beside the version whose answers it scored last.

    Raises DataError where it scored none, and psycopg.Error where the ledger is away.
    """
    span = Span(use_case.name, since, until or datetime.now(UTC))
    challenger = version or latest_challenger(settings, span)
    answering = champions(settings, span, challenger) if challenger else []
    if challenger is None or not answering:
        which = f"Version {version}" if version else "No version"
        raise DataError(
            f"{which} of {use_case.name} has scored answers in shadow: serve with ASOF_SHADOW={version or 'newest'}."
        )
    champion, *others = answering
    counts, pairs = tally(settings, span, challenger, champion), read_pairs(settings, span, challenger, champion)
    if not len(pairs):
        raise DataError(
            f"Version {challenger} failed at all {counts.failed:,} answers of version {champion}: see its log."
        )
    valued = read_values(settings, span, challenger, champion, SAMPLE)
    return Comparison(
        use_case.name,
        challenger,
        champion,
        tuple(others),
        counts,
        _differing(pairs, counts),
        _differences(pairs),
        tuple(_where(valued)),
        on_outcomes(settings, use_case, pairs, _ends(counts)),
        _window(pairs, counts),
    )


def _differing(pairs: Pairs, counts: ShadowTally) -> Estimate | None:
    if pairs.rows["decision"].null_count == len(pairs):
        return None
    return Estimate(counts.differing / counts.scored, *share_interval(counts.differing, counts.scored))


def _differences(pairs: Pairs) -> Differences:
    apart = difference(pairs.challenger, pairs.champion)
    quantiles = tuple(float(each) for each in np.quantile(apart, QUANTILES))
    if pairs.challenger.ndim > 1:
        ours, theirs = pairs.champion.argmax(axis=1), pairs.challenger.argmax(axis=1)
        return Differences(float(apart.mean()), quantiles, None, psi(_floats(ours), _floats(theirs), levels=True).size)
    shift = paired_mean(pairs.challenger - pairs.champion) if len(pairs) > 1 else None
    return Differences(float(apart.mean()), quantiles, shift, psi(pairs.champion, pairs.challenger, levels=False).size)


def _floats(codes: Any) -> Any:
    return codes.astype(np.float64)


def _where(valued: ValuedPairs) -> list[Where]:
    return where_they_differ(valued.values, valued.difference)


def _ends(counts: ShadowTally) -> tuple[datetime, datetime]:
    assert counts.first is not None  # noqa: S101 - there are answers
    assert counts.last is not None  # noqa: S101
    return counts.first, counts.last


def _window(pairs: Pairs, counts: ShadowTally) -> datetime:
    """The latest moment of the predictions; where features come in requests, the first day of the month."""
    known = pairs.rows["target_as_of"].drop_null().to_numpy()
    if known.size:
        return datetime.fromtimestamp(int(known.max()) / 1e6, UTC)
    return _ends(counts)[1].astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def figures(found: Comparison) -> Iterator[Figure]:
    """As monitoring saves them, of the challenger."""
    scored, asked = found.tally.scored, found.tally.scored + found.tally.failed
    enough = Verdict.OK if scored >= MIN_ROWS else Verdict.TOO_FEW
    failed = found.tally.failed
    yield _figure(
        found,
        "failed",
        failed / asked,
        asked,
        ends=share_interval(failed, asked),
        verdict=Verdict.ALARM if failed else Verdict.OK,
    )
    if share := found.differing:
        yield _figure(found, "decisions_differ", share.value, scored, ends=(share.low, share.high), verdict=enough)
    apart = found.differences
    detail = {"quantiles": dict(zip(map(str, QUANTILES), apart.quantiles, strict=True))}
    yield _figure(found, "score_difference", apart.mean, scored, verdict=enough, detail=detail)
    if apart.shift:
        ends = (apart.shift.low, apart.shift.high)
        yield _figure(found, "score_shift", apart.shift.value, scored, ends=ends, verdict=enough)
    yield _figure(found, "psi", apart.psi, scored, verdict=enough)
    for each in found.where:
        place = {"bin": each.bin, "difference": each.difference, "rows": each.rows}
        yield _figure(
            found, "difference_explained", each.explained, scored, about=each.feature, verdict=enough, detail=place
        )
    for name, gain in found.outcomes.gains.items():
        verdict = Verdict.ALARM if gain.high < 0 else Verdict.OK
        yield _figure(
            found, f"{name}_gain", gain.value, found.outcomes.mature, ends=(gain.low, gain.high), verdict=verdict
        )


def _figure(
    found: Comparison,
    metric: str,
    value: float,
    n: int,
    *,
    about: str = "",
    ends: Sequence[float | None] = (None, None),
    verdict: Verdict,
    detail: dict[str, Any] | None = None,
) -> Figure:
    low, high = (None if each is None or not np.isfinite(each) else each for each in ends)
    known = {"champion": found.champion, **(detail or {})}
    return Figure(Subject.SHADOW, metric, value, n, found.as_of, found.challenger, about, low, high, verdict, known)
