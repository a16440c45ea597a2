"""The data checks on clean simulated months, where every alarm is false.

`python -m benchmarks.false_alarms [SEEDS [USERS ...]]`: three months for each seed, with labels of two, so that every
check runs.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asof.use_cases import load
from simulator import SimulationPlan, simulate
from training.inspection.examination import Examination, examine
from training.inspection.finding import Severity
from training.inspection.gather import months_in

SEEDS, USERS = 100, (1_000, 7_043)
LAST = date(2024, 2, 29)
BUILT_IN = {
    "not-applicable:subscriptions.plan_stream_tv",
    "not-applicable:subscriptions.plan_stream_movies",
    "filled-without-count:support_agg_90d.ticket_avg_resolution_hrs_90d",
    "unchanged:usage_agg_30d.unique_devices_30d",
}
"""Findings of severity `info` that are true in every simulated month, and so no false alarms."""


def main(seeds: str = str(SEEDS), *users: str) -> None:
    for size in map(int, users) if users else USERS:
        print(json.dumps(_measured(size, int(seeds))), flush=True)


def _measured(users: int, seeds: int) -> dict[str, Any]:
    alarms, notes = Counter[str](), Counter[str]()
    alarmed = noted = 0
    for examination in _examinations(users, seeds):
        findings = {each.finding.name: each.finding.severity for each in examination.findings}
        false = [name for name, severity in findings.items() if severity is not Severity.INFO]
        other = [name for name, severity in findings.items() if severity is Severity.INFO and name not in BUILT_IN]
        alarms.update(false)
        notes.update(other)
        alarmed += bool(false)
        noted += bool(other)
    return {
        "users": users,
        "seeds": seeds,
        "seeds with an alarm": alarmed,
        "95 % interval of the rate": _interval(alarmed, seeds),
        "alarms": dict(alarms),
        "seeds with an info that is not built in": noted,
        "95 % interval of its rate": _interval(noted, seeds),
        "infos": dict(notes),
    }


def _examinations(users: int, seeds: int) -> Iterator[Examination]:
    schema = load("churn").extract
    for seed in range(seeds):
        plan = SimulationPlan(LAST, users=users, months=3, seed=seed)
        with TemporaryDirectory() as name:
            simulate(plan, Path(name) / "extracts")
            yield examine(list(months_in(Path(name) / "extracts", schema, first=plan.as_of(0))))


def _interval(hits: int, rows: int) -> list[float]:
    """Exact: Clopper and Pearson, Biometrika 26 (1934)."""
    from scipy.stats import binomtest

    bounds = binomtest(hits, rows).proportion_ci(0.95, method="exact")
    return [round(float(bounds.low), 4), round(float(bounds.high), 4)]


if __name__ == "__main__":
    main(*sys.argv[1:])
