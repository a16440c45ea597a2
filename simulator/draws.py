"""(seed, month, name, slot) -> a random number, the same in whichever chunk the slot is drawn.

NumPy's Philox is a counter-based generator (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011):
one key for each seed, month and name, one position for each slot. Nothing is shared between two names, so that the
draw of the label cannot be correlated with the draw of a feature, and a new draw moves no old one.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DOUBLES_PER_COUNT = 4  # Philox 4x64 yields four 64-bit words for each value of its counter
MOST_EVENTS = 200  # where the tail of a Poisson variable is cut off


@dataclass(frozen=True)
class Draws:
    """The draws of one month for the slots `first` to `first + rows`; every answer has the shape (rows,)."""

    seed: int
    month: int
    first: int
    rows: int

    def uniform(self, name: str) -> Floats:
        """Uniform on [0, 1)."""
        digest = blake2b(f"{self.seed}/{self.month}/{name}".encode(), digest_size=16).digest()
        count, skip = divmod(self.first, DOUBLES_PER_COUNT)
        generator = np.random.Generator(np.random.Philox(key=np.frombuffer(digest, "<u8"), counter=count))
        return generator.random(skip + self.rows)[skip:]

    def normal(self, name: str) -> Floats:
        """Standard normal, by Box and Muller: a fixed number of uniforms for each slot."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(f"{name}/radius")))
        return np.asarray(radius * np.cos(2 * np.pi * self.uniform(f"{name}/angle")))

    def chance(self, name: str, probability: Floats | float) -> Bools:
        """True with the given probability, a number or shape (rows,)."""
        return np.asarray(self.uniform(name) < probability)

    def choice(self, name: str, shares: ArrayLike) -> Ints:
        """An index into the last axis of `shares`, shape (options,) or (rows, options); each row sums to one."""
        bounds = np.cumsum(shares, axis=-1)[..., :-1]
        return np.asarray((self.uniform(name)[:, None] >= bounds).sum(axis=1))

    def poisson(self, name: str, rate: ArrayLike) -> Ints:
        """A count with the given mean, a number or shape (rows,), by inversion."""
        u, rates = self.uniform(name), np.broadcast_to(np.asarray(rate, dtype=np.float64), (self.rows,))
        count, mass = np.zeros(self.rows, dtype=np.int64), np.exp(-rates)
        cumulated = mass.copy()
        for events in range(1, MOST_EVENTS):
            above = u >= cumulated
            if not above.any():
                break
            count += above
            mass = mass * rates / events
            cumulated += mass
        return count
