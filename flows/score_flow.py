"""Every user of a moment -> scores, in PostgreSQL or in a folder of Parquet."""

from dataclasses import asdict
from typing import Any

from prefect import flow, task

from asof.settings import Moment
from asof.use_cases import load
from flows.runtime.door import default_use_case, open_settings, open_tracked_settings
from flows.runtime.progress import log, publish
from flows.runtime.retries import RETRIES
from training.scoring.score import POSTGRES, Scoring, score_users


@task(name="score", **RETRIES)
def score_everybody(
    use_case: str, as_of: Moment | None, known_at: Moment | None, version: str | None, to: str
) -> Scoring:
    """Scores every user, or those whom an earlier run has left."""
    return score_users(
        open_settings(), load(use_case), as_of=as_of, known_at=known_at, version=version, to=to, progress=log.info
    )


def told(done: Scoring) -> dict[str, Any]:
    """The run in one table, what came of the users in another; what was done by this call in words."""
    run, tally = asdict(done.run), done.tally
    outcomes = {"scored": tally.answered, **tally.refused}
    words = f"{done.new:,} users scored" if done.new else "nothing to do: this run is complete"
    return {
        **{name: run[name] for name in ("use_case", "model", "version", "run_id", "fingerprint", "as_of", "known_at")},
        "users": tally.scored,
        "flagged": tally.flagged,
        "to": done.to,
        "done": words,
        "new": done.new,
        "seconds": round(done.seconds, 2),
        "users_per_second": round(done.new / done.seconds) if done.new else 0,
        "outcomes": [{"outcome": name, "users": count} for name, count in outcomes.items()],
    }


@flow(name="score", description="Every user of a moment, scored with one version; goes on where a run was killed.")
def score(
    use_case: str | None = None,
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    version: str | None = None,
    to: str = POSTGRES,
) -> dict[str, Any]:
    """Scores as of a moment (default: the newest snapshot), with a version (default: the one in Production)."""
    use_case = use_case or default_use_case()
    open_tracked_settings()
    result = told(score_everybody(use_case, as_of, known_at, version, to))
    publish("scoring", result["outcomes"], f"{result['model']} version {result['version']}: {result['done']}")
    return result
