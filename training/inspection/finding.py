"""Finding: the result of a data check, and its severity."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """In descending order.

    error    training on these rows would be wrong, or cannot be shown to be right: stops training
    warning  something is probably wrong: look at it
    info     a fact that matters for modelling; no alarm
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for `error`."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """`name` is stable, `KIND:table.column` or `KIND:table`: a use case acknowledges a finding by it.

    `sentence` states the problem, `advice` the next step; `figures` are the evidence.
    """

    name: str
    severity: Severity
    sentence: str
    advice: str
    figures: Mapping[str, float]

    @property
    def kind(self) -> str:
        """The name up to the colon."""
        return self.name.partition(":")[0]

    @property
    def subject(self) -> str:
        """The table or column: the name after the colon."""
        return self.name.partition(":")[2]
