"""Prepared queries by libpq calls: large parameters and results, several event loops, and server failures."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import psycopg
import pytest
import uvloop

from asof.settings import Settings
from online_store.reading.prepared_queries import PreparedQueries

T = TypeVar("T")
TEXT = 25
ECHO = b"echo"
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


def run(
    settings: Settings,
    loop: Callable[[], asyncio.AbstractEventLoop],
    use: Callable[[PreparedQueries], Coroutine[Any, Any, T]],
) -> T:
    """The result of `use`, with a connection, on which a query returns its parameter, and the server's process."""

    async def main() -> T:
        queries = await PreparedQueries.connect(settings.conninfo())
        with queries.closed_on_failure():
            await queries.prepare(ECHO, "SELECT $1::text, pg_backend_pid()", [TEXT])
            actual = await use(queries)
        queries.close()
        return actual

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())


async def echo(queries: PreparedQueries, text: str = "x") -> tuple[str, int]:
    ((actual, process),) = queries.rows(await queries.ask(ECHO, text.encode()))
    return actual, process


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("size", [0, 1, 30_000_000])
def test_parameters_and_results_may_be_of_any_size(settings: Settings, loop: Any, size: int) -> None:
    async def use(queries: PreparedQueries) -> list[int]:
        return [len((await echo(queries, "ä" * size))[0]) for _ in range(3)]

    assert run(settings, loop, use) == [size] * 3


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_closed_by_the_server_is_an_error_of_the_next_query(settings: Settings, loop: Any) -> None:
    async def use(queries: PreparedQueries) -> None:
        _, process = await echo(queries)
        with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [process])
        await asyncio.sleep(0.1)
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(echo(queries), 60)

    run(settings, loop, use)


def test_a_connection_may_be_used_in_another_loop(settings: Settings) -> None:
    with asyncio.Runner() as first, asyncio.Runner() as second:
        queries = first.run(PreparedQueries.connect(settings.conninfo()))
        first.run(queries.prepare(ECHO, "SELECT $1::text, pg_backend_pid()", [TEXT]))
        actual = [runner.run(echo(queries)) for runner in (first, second, first)]
        queries.close()
    assert len(set(actual)) == 1


async def long(queries: PreparedQueries) -> None:
    with queries.closed_on_failure():
        await queries.ask(b"long")


def test_a_cancelled_query_leaves_no_connection(settings: Settings) -> None:
    async def use(queries: PreparedQueries) -> None:
        _, process = await echo(queries)
        await queries.prepare(b"long", "SELECT pg_sleep(60)")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(long(queries), 0.1)
        with psycopg.connect(settings.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", [process])  # it sleeps, and would not notice
        with pytest.raises(psycopg.OperationalError):
            await echo(queries)

    run(settings, asyncio.new_event_loop, use)


def test_an_error_of_a_query_is_psycopgs_and_does_not_affect_others(settings: Settings) -> None:
    async def use(queries: PreparedQueries) -> str:
        with pytest.raises(psycopg.errors.UndefinedTable):
            await queries.prepare(b"wrong", "SELECT * FROM nowhere")
        await queries.prepare(b"nothing", "SELECT 1/(random()::int*0)")
        with pytest.raises(psycopg.errors.DivisionByZero):
            await queries.ask(b"nothing")
        return (await echo(queries, "fine"))[0]

    assert run(settings, asyncio.new_event_loop, use) == "fine"
