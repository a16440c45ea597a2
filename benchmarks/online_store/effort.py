"""How much to measure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Rounds; users to materialise; entities of a read, and seconds of one row of reads.

    Who makes a Python object of each value is asked for at most `most_slow` users, and is told by its rows a second:
    at a million, the stock store takes minutes and gigabytes. All reads are of the store of `most_slow` users.
    """

    rounds: int = 3
    sizes: tuple[int, ...] = (7_043, 1_000_000)
    most_slow: int = 100_000
    entities: tuple[int, ...] = (1, 256, 10_000)
    seconds: float = 3.0

    @property
    def databases(self) -> tuple[int, ...]:
        """Every number of users that is needed."""
        return tuple(sorted({*self.sizes, min(self.most_slow, max(self.sizes))}))

    @property
    def read_users(self) -> int:
        """Users of the store that is read."""
        return min(self.most_slow, max(self.sizes))


QUICK = Effort(rounds=1, sizes=(2_000, 20_000), most_slow=5_000, entities=(1, 256, 2_000), seconds=1.0)
