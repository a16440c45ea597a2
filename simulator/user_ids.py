"""User numbers -> user ids such as 4821-QRTXA: no two numbers share one, and the order of numbers does not show."""

import numpy as np
from numpy.typing import NDArray

from simulator.draws import Ints

DIGITS, LETTERS = 10**4, 26**5
ROUNDS = 3


def user_ids(numbers: Ints) -> NDArray[np.bytes_]:
    """ASCII ids of ten bytes, shape (rows,), for numbers from 0 up to DIGITS * LETTERS.

    A Feistel network over the two halves of the id: each round adds a hash of one half to the other, which can be
    undone, so that different numbers give different ids.
    """
    digits, letters = numbers // LETTERS, numbers % LETTERS
    for turn in range(ROUNDS):
        digits = (digits + _mixed(letters, 2 * turn) % DIGITS) % DIGITS
        letters = (letters + _mixed(digits, 2 * turn + 1) % LETTERS) % LETTERS
    text = np.full((len(numbers), 10), ord("-"), dtype=np.uint8)
    for place in range(4):
        text[:, place] = ord("0") + digits // 10 ** (3 - place) % 10
    for place in range(5):
        text[:, 5 + place] = ord("A") + letters // 26 ** (4 - place) % 26
    return text.reshape(-1).view("S10")


def _mixed(values: Ints, salt: int) -> Ints:
    """A hash of each value, not negative: the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    word = values.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((word ^ (word >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)
