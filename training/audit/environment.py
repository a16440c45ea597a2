"""The libraries and the machine of a training run, compared with those of now."""

from collections.abc import Mapping
from dataclasses import dataclass

from training.data.snapshots.provenance import code_version
from training.models.fitting.run_record import environment

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Drift:
    """One fact of the environment, as recorded and as it is now; one that was not recorded has not changed."""

    name: str
    recorded: str
    now: str
    changed: bool


def environment_drift(tags: Mapping[str, str]) -> tuple[Drift, ...]:
    """Versions of libraries, machine, BLAS and code beside a run's tags; to be called once BLAS is loaded."""
    code = code_version()
    present = environment() | {"git_commit": code.commit, "git_dirty": str(code.dirty).lower()}
    recorded = {name: tags.get(name, NOT_RECORDED) for name in present}
    return tuple(
        Drift(name, recorded[name], now, changed=recorded[name] not in (now, NOT_RECORDED))
        for name, now in present.items()
    )
