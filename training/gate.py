"""Contest -> the criteria of promotion, each with its figures and its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from training.contest import Contest
from training.metrics import Floats, Labels, interval, resampled, row_log_loss


@dataclass(frozen=True)
class Criterion:
    """One condition of promotion: whether it holds, the figures behind it, and a sentence for people."""

    name: str
    passed: bool
    figures: Mapping[str, float]
    reason: str


def judge(contest: Contest) -> tuple[Criterion, ...]:
    """All criteria that apply: a first version must beat a constant model, a later one the version in Production."""
    applicable = FIRST if contest.champion is None else LATER
    return tuple(criterion(contest) for criterion in applicable)


def better_than_constant(contest: Contest) -> Criterion:
    """The log loss is below that of the base rate."""
    loss = float(row_log_loss(contest.labels, contest.challenger).mean())
    constant = np.full(contest.labels.size, contest.base_rate)
    limit = float(row_log_loss(contest.labels, constant).mean())
    reason = f"log loss {loss:.4f}, a constant model has {limit:.4f}"
    return Criterion("log loss below a constant model's", loss < limit, {"challenger": loss, "constant": limit}, reason)


def better_than_chance(contest: Contest) -> Criterion:
    """The lower bound of the AUC's 95 % interval is above 0.5."""
    low, high = interval(resampled(contest.labels, contest.challenger, seed=contest.seed)["auc"])
    reason = f"AUC between {low:.4f} and {high:.4f}, chance is 0.5"
    return Criterion("AUC above chance", low > 0.5, {"low": low, "high": high}, reason)


def better_than_champion(contest: Contest) -> Criterion:
    """The AUC is strictly above that of the version in Production; the paired interval is told, not judged."""
    champion = contest.champion if contest.champion is not None else np.full(contest.labels.size, contest.base_rate)
    ours, theirs = (_auc(contest.labels, each) for each in (contest.challenger, champion))
    mine, other = (resampled(contest.labels, each, seed=contest.seed)["auc"] for each in (contest.challenger, champion))
    low, high = interval(mine - other)
    reason = f"AUC {ours:.4f}, in Production {theirs:.4f}; difference {ours - theirs:+.4f} ({low:+.4f} to {high:+.4f})"
    figures = {"challenger": ours, "champion": theirs, "difference_low": low, "difference_high": high}
    return Criterion("AUC above the version in Production", ours > theirs, figures, reason)


def _auc(labels: Labels, probabilities: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, probabilities))


FIRST: tuple[Callable[[Contest], Criterion], ...] = (better_than_constant, better_than_chance)
LATER: tuple[Callable[[Contest], Criterion], ...] = (better_than_champion,)
