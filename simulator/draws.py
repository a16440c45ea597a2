"""Random numbers by seed, month, name and slot, independent of the chunk in which a slot is drawn.

NumPy's Philox is a counter-based generator (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011): each
seed, month and name has a key, and each slot a position. Names share nothing, so that the draw of the label is not
correlated with that of a feature, and a new draw does not change others.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DOUBLES_PER_COUNT = 4  # Philox 4x64 yields four 64-bit words for each value of its counter
MAX_EVENTS = 200  # the tail of a Poisson variable is cut off here


@dataclass(frozen=True)
class Draws:
    """The draws of one month for the slots `first` to `first + rows`; every result has the shape (rows,)."""

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
        """Standard normal, by Box and Muller, which needs a fixed number of uniforms for each slot."""
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
        for events in range(1, MAX_EVENTS):
            above = u >= cumulated
            if not above.any():
                break
            count += above
            mass = mass * rates / events
            cumulated += mass
        return count
