"""The stage `score`: scores every user, into PostgreSQL or a folder of Parquet files."""

from dataclasses import asdict
from typing import Any

from asof.settings import EngineName, Moment, with_engine
from asof.use_cases import default_name, load
from flows.lineage.datasets import of_score
from flows.lineage.emitting import emits_lineage
from flows.runtime.artifacts import publish_table
from flows.runtime.environment import settings_with_database, settings_with_tracking
from flows.runtime.progress import log
from flows.runtime.steps import step
from training.scoring.score import POSTGRES, Scoring, score_users


@step("score")
def score_all(
    use_case: str,
    as_of: Moment | None,
    known_at: Moment | None,
    version: str | None,
    to: str,
    engine: str | None = None,
) -> Scoring:
    """Scores every user, or those that an interrupted run left."""
    return score_users(
        with_engine(settings_with_database(), engine),
        load(use_case),
        as_of=as_of,
        known_at=known_at,
        version=version,
        to=to,
        progress=log.info,
    )


def scoring_result(scoring: Scoring) -> dict[str, Any]:
    """The run, its outcomes as a table, and what this call did, as JSON data."""
    run, tally = asdict(scoring.run), scoring.tally
    outcomes = {"scored": tally.answered, **tally.refused}
    message = f"{scoring.new:,} users scored" if scoring.new else "nothing to do: this run is complete"
    return {
        **{name: run[name] for name in ("use_case", "model", "version", "run_id", "fingerprint", "as_of", "known_at")},
        "users": tally.scored,
        "flagged": tally.flagged,
        "to": scoring.to,
        "digest": tally.digest,
        "done": message,
        "new": scoring.new,
        "seconds": round(scoring.seconds, 2),
        "users_per_second": round(scoring.new / scoring.seconds) if scoring.new else 0,
        "outcomes": [{"outcome": name, "users": count} for name, count in outcomes.items()],
    }


@emits_lineage("score", of_score, from_store=True)
def score(
    use_case: str | None = None,
    as_of: Moment | None = None,
    known_at: Moment | None = None,
    version: str | None = None,
    to: str = POSTGRES,
    engine: EngineName | None = None,
) -> dict[str, Any]:
    """Scores as of a moment (default: the newest snapshot) with a version (default: the one in Production).

    `engine` says where (default: that of the settings).
    """
    use_case = use_case or default_name(from_store=True)
    settings_with_tracking()
    result = scoring_result(score_all(use_case, as_of, known_at, version, to, engine))
    publish_table("scoring", result["outcomes"], f"{result['model']} version {result['version']}: {result['done']}")
    return result
