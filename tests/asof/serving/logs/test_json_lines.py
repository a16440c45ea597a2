"""JsonLines that are written together, and none of them lost."""

import asyncio

from asof.serving.logs.json_lines import JsonLines


def test_the_lines_of_one_round_take_one_write() -> None:
    written: list[str] = []

    async def answer() -> None:
        lines = JsonLines(written.append)
        for number in range(3):
            lines.add(str(number))
        assert written == []
        await asyncio.sleep(0)
        lines.add("3")
        await asyncio.sleep(0)

    asyncio.run(answer())
    assert written == ["0\n1\n2", "3"]


def test_outside_a_loop_each_is_written_at_once() -> None:
    written: list[str] = []
    lines = JsonLines(written.append)
    lines.add("0")
    lines.add("1")
    assert written == ["0", "1"]
