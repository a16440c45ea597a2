"""Parity -> one sentence of what came out, and what to do now."""

from datetime import datetime

from training.parity.check import Parity
from training.parity.verdicts import Verdict


def summary(parity: Parity) -> str:
    """How much was compared, and how much differs; of a sample also how far that reaches."""
    values = sum(parity.verdicts.values())
    told = f"{parity.differences:,} of {values:,} values of {parity.users:,} users differ"
    if past := parity.verdicts[Verdict.PAST_TTL]:
        told += f", {past:,} of them past their ttl"
    if parity.users < parity.population:
        told += f"; with 95 % confidence no more than {parity.differing_at_most:.3%} of {parity.population:,} users do"
    return f"{told}, as of {_told(parity.as_of)} as known at {_told(parity.known_at)}"


def next_step(parity: Parity) -> str:
    """What to do where something differs; an empty sentence where nothing does."""
    if not parity.users:
        return (
            f"There is no snapshot up to {_told(parity.as_of)}, so nothing was compared: run `python -m flows ingest`."
        )
    if parity.misfit:
        return f"{parity.misfit[:1].upper()}{parity.misfit[1:]}"
    if parity.wrong:
        return (
            "Run `python -m flows ingest`: it writes online what was loaded or defined since its last time. What "
            "differs after that was written by somebody else, or was lost: `python -m flows ingest --whole` writes "
            "every view anew. A store that is to show another moment is compared with --as-of."
        )
    if parity.differences:
        return (
            "The newest rows of these users are older than their view's ttl, and still read as present: deliver newer "
            "ones. Until then the service refuses or flags them, as the view's tag `staleness` says."
        )
    return ""


def _told(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")
