"""A challenger beside the version in Production, on kept answers -> the criterion that it was tried in shadow."""

from datetime import UTC, datetime

from asof.ledger.reading.shadow import Span, tally
from asof.settings import Settings
from asof.use_case import UseCase
from training.metrics.statistics import share_interval
from training.release.registry.versions import ModelVersion
from training.targets.rules import Criterion

CRITERION = "tried in shadow"
EVER = datetime(1970, 1, 1, tzinfo=UTC)


def tried_in_shadow(
    settings: Settings, use_case: UseCase, challenger: ModelVersion, champion: ModelVersion
) -> Criterion:
    """Whether it scored enough answers of the version in Production, without a failure, and decided otherwise at no
    more of them than the bounds allow. The bounds must have `min_shadow_answers`. Raises psycopg.Error where the
    ledger is away.
    """
    bounds, span = use_case.gate, Span(use_case.name, EVER, datetime.now(UTC))
    found = tally(settings, span, challenger.version, champion.version)
    least, most = bounds.min_shadow_answers or 1, bounds.max_shadow_differing
    _, high = share_interval(found.differing, found.scored)
    enough, agrees = found.scored >= least, most == 1 or high <= most
    reason = (
        f"{found.scored:,} answers of version {champion.version} scored, at least {least:,} needed; {found.failed:,} "
        f"failures; {found.differing:,} decisions differ, at most {high:.2%} by the interval, allowed {most:.2%}"
    )
    step = "" if enough else ": serve with ASOF_SHADOW=newest until there are enough"
    figures = {
        "answers": float(found.scored),
        "failures": float(found.failed),
        "differing": float(found.differing),
        "differing_high": high,
    }
    return Criterion(CRITERION, enough and agrees and not found.failed, figures, reason + step)
