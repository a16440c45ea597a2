"""Place: where the results of a run go. A chunk is there whole, with how far the run has come, or not at all."""

from contextlib import AbstractContextManager
from typing import Protocol

from asof.errors import ScoringError
from training.scoring.results import Results
from training.scoring.run import Run, Tally


class Place(Protocol):
    """A run of its own in a place of results; nobody else writes it meanwhile.

    `run` is the one that goes on, or the new one; `tally` is how far it had come when it was opened.
    """

    run: Run
    tally: Tally
    complete: bool

    def write(self, results: Results) -> None:
        """Keeps one chunk and the new tally, both or none."""

    def finish(self, tally: Tally) -> None:
        """Marks the run as complete."""


class Opener(Protocol):
    """`any_known_at`: go on with the newest run of this model and moment that is `of_its_day`, if there is one.

    Raises ScoringError where another process is at a run of the same model and moment.
    """

    def __call__(self, run: Run, *, any_known_at: bool) -> AbstractContextManager[Place]: ...


def busy(run: Run) -> ScoringError:
    """The error where another process is at the same."""
    return ScoringError(
        f"Another run is scoring {run.title}: wait until it has ended, and run the command again to see what it did."
    )
