"""Criterion of a better metric -> the same criterion, met as well by an equivalent version that is cheaper to serve.

Equivalence is told by two one-sided tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987), each
at 2.5 %: the 95 % interval of the paired difference must be within the margin on both sides.
"""

from dataclasses import replace

from asof.use_case import GateBounds
from training.targets.rules import Contest, Criterion


def or_equivalent(better: Criterion, contest: Contest, bounds: GateBounds) -> Criterion:
    """The criterion unchanged, unless the bounds have an `equivalence_margin`.

    `better` needs the figures of `difference_figures`, `contest.lighter` says in what the challenger is cheaper.
    """
    if (margin := bounds.equivalence_margin) is None:
        return better
    equivalent = -margin < better.figures["difference_low"] and better.figures["difference_high"] < margin
    instead = not better.passed and equivalent and bool(contest.lighter)
    verdict = "equivalent" if equivalent else "not shown to be equivalent"
    return replace(
        better,
        name=f"{better.name}, or equivalent and lighter",
        passed=better.passed or instead,
        figures={**better.figures, "equivalent": float(equivalent), "lighter": float(bool(contest.lighter))},
        reason=f"{better.reason}; {verdict} within {margin:g} either way; {contest.lighter or 'not lighter to serve'}",
        ground=f"equivalent within {margin:g}, and {contest.lighter}" if instead else "",
    )
