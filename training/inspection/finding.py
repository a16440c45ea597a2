"""Finding: one thing that a check has to say of the data, and how much it matters."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters, the gravest first.

    error    training on these rows would be wrong, or nobody can tell that it is right: stops training
    warning  something is probably not as it should be: look at it
    info     a fact of the data that whoever models it must know; no alarm
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the gravest."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Finding:
    """`name` is stable, `KIND:table.column` or `KIND:table`: a use case acknowledges a finding by it.

    `sentence` says what was found, `advice` what to do; `figures` are the evidence behind the sentence.
    """

    name: str
    severity: Severity
    sentence: str
    advice: str
    figures: Mapping[str, float]

    @property
    def kind(self) -> str:
        """What kind of finding it is: the name up to the colon."""
        return self.name.partition(":")[0]

    @property
    def place(self) -> str:
        """The table or column that it is about."""
        return self.name.partition(":")[2]
