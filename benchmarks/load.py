"""A closed loop of clients against one address -> requests/s, latencies and errors, as a line of JSON.

`python -m benchmarks.load URL CLIENTS SECONDS BODIES` where BODIES is a file with one JSON body a line, sent in turn.
Each client waits for its answer before it sends again; a warm-up of a fifth of the time is not counted.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter

import aiohttp
import numpy as np


@dataclass(frozen=True)
class Load:
    """What the clients saw; latencies in milliseconds."""

    clients: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


async def run(url: str, clients: int, seconds: float, bodies: list[bytes]) -> Load:
    """Drives `clients` concurrent loops for `seconds`; every answer but 200 is an error."""
    latencies: list[float] = []
    failed: list[int] = []
    turn = cycle(bodies)
    begin = perf_counter() + seconds / 5
    end = begin + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        while (sent := perf_counter()) < end:
            async with session.post(url, data=next(turn), headers={"Content-Type": "application/json"}) as answer:
                await answer.read()
            if sent >= begin:
                latencies.append(perf_counter() - sent)
                failed.extend([answer.status] if answer.status != 200 else [])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    p50, p99 = np.percentile(np.array(latencies) * 1000, [50, 99])
    return Load(clients, round(len(latencies) / seconds, 1), round(float(p50), 2), round(float(p99), 2), len(failed))


def main(url: str, clients: str, seconds: str, bodies: str) -> None:
    lines = Path(bodies).read_bytes().splitlines()
    print(json.dumps(asdict(asyncio.run(run(url, int(clients), float(seconds), lines)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
