"""How long to measure, and which peers."""

from dataclasses import dataclass

CLIENTS = (1, 8, 32, 128)


@dataclass(frozen=True)
class Effort:
    """Rounds and seconds of the closed loops, seconds of the other loads (0: none); `only` names peers (empty: all).

    A slow peer gets up to `most_seconds` of warm-up and of measurement, and `slow_rounds` rounds.
    """

    rounds: int = 3
    seconds: float = 2.0
    most_seconds: float = 4.0
    slow_rounds: int = 2
    clients: tuple[int, ...] = CLIENTS
    open_seconds: float = 6.0
    tail_seconds: float = 300.0
    overload_seconds: float = 60.0
    only: tuple[str, ...] = ()


QUICK = Effort(
    rounds=1,
    seconds=1.0,
    most_seconds=2.0,
    slow_rounds=1,
    clients=CLIENTS[:-1],
    open_seconds=2.0,
    tail_seconds=20.0,
    overload_seconds=10.0,
)
