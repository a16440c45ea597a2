"""A year in which nothing changes: in which share of its twelve runs does monitoring alarm all the same?"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.monitoring.windows import Window, measured, other_users, same_users, version_of
from monitoring.records.figure import Verdict
from monitoring.statistics.measured import LEVEL, LEVELS

USERS, SEEDS, WINDOWS = (200, 1_000, 7_043), 20, 12
QUICK_SEEDS = 2
WORLDS: Mapping[str, Callable[[int, int, int], list[Window]]] = {
    "other users of one month": other_users,
    "the same users, month by month": same_users,
}


def measure_quiet_year(progress: Callable[[str], None], *, seeds: int = SEEDS) -> Iterator[Mapping[str, Any]]:
    """A row for each world and number of users."""
    for world in WORLDS:
        for users in USERS:
            progress(f"a year without drift, {users:,} users, {world}")
            yield _row(world, users, seeds)


def false_alarms(world: str, users: int, seeds: int) -> list[set[str]]:
    """The subjects of each run that alarm."""
    return [alarms for alarms, _ in _runs(world, users, seeds)]


def _runs(world: str, users: int, seeds: int) -> Iterator[tuple[set[str], set[str]]]:
    """Of each run: the subjects that alarm, and those that at least take note."""
    for seed in range(seeds):
        first, *later = WORLDS[world](users, seed, WINDOWS + 1)
        version = version_of(first)
        for window in later:
            figures = [each for each in measured(version, window) if each.subject in LEVELS]
            yield (
                {each.subject.value for each in figures if each.verdict is Verdict.ALARM},
                {each.subject.value for each in figures if each.verdict in (Verdict.ALARM, Verdict.NOTICE)},
            )


def _row(world: str, users: int, seeds: int) -> Mapping[str, Any]:
    runs = list(_runs(world, users, seeds))
    alarmed, noted = (sum(bool(run[place]) for run in runs) for place in range(2))
    subjects = Counter(subject for _, noted_by in runs for subject in noted_by)
    return {
        "a year without drift": world,
        "users": users,
        "runs": len(runs),
        "allowed, %": 100 * LEVEL,
        "with an alarm, %": round(100 * alarmed / len(runs), 1),
        "interval": _interval(alarmed, len(runs)),
        "with a notice or an alarm, %": round(100 * noted / len(runs), 1),
        "of": ", ".join(f"{name} {count}" for name, count in subjects.most_common()),
    }


def _interval(hits: int, runs: int) -> str:
    """Exact, 95 %: Clopper and Pearson, Biometrika 26 (1934)."""
    from scipy.stats import binomtest

    found = binomtest(hits, runs).proportion_ci(0.95, method="exact")
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"
