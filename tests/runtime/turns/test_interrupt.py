from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from agent_kernel.runtime.turns.interrupt import Interrupt, Stopped


async def numbers(closed: list[str], pause: float = 0.0) -> AsyncGenerator[int, None]:
    try:
        for number in range(1000):
            yield number
            if pause:
                await asyncio.sleep(pause)
    finally:
        closed.append("closed")


async def test_everything_passes_in_order() -> None:
    closed: list[str] = []
    assert [n async for n in Interrupt().through(numbers(closed))] == list(range(1000))
    assert closed == ["closed"]


async def test_what_waits_is_stopped() -> None:
    closed: list[str] = []
    interrupt = Interrupt()
    source = interrupt.through(numbers(closed, pause=60))
    assert await anext(source) == 0
    interrupt.stop("cancelled")
    with pytest.raises(Stopped):
        await anext(source)
    assert closed == ["closed"]
    with pytest.raises(Stopped):
        interrupt.check()


async def test_a_stop_before_the_source_has_begun() -> None:
    interrupt = Interrupt()
    reading = asyncio.ensure_future(anext(interrupt.through(numbers([]))))
    asyncio.get_running_loop().call_soon(interrupt.stop, "cancelled")
    with pytest.raises(Stopped):
        await asyncio.wait_for(reading, 5)


async def test_patience_lets_a_source_with_grace_end() -> None:
    interrupt = Interrupt()
    seen = []
    async for number in interrupt.through(numbers([], pause=0.0), grace=60):
        seen.append(number)
        if number == 3:
            interrupt.stop("incomplete", "steered", patience=True)
    assert len(seen) == 1000
    assert (interrupt.status, interrupt.reason) == ("incomplete", "steered")


async def test_a_cancel_outdoes_whatever_was_asked_before() -> None:
    interrupt = Interrupt()
    interrupt.stop("incomplete", "steered")
    interrupt.stop("cancelled")
    interrupt.stop("incomplete", "steered")
    assert interrupt.status == "cancelled"


async def test_errors_and_leaving_readers() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("wrong")

    source = Interrupt().through(failing())
    assert await anext(source) == 1
    with pytest.raises(ValueError, match="wrong"):
        await anext(source)
    closed: list[str] = []
    source = Interrupt().through(numbers(closed, pause=60))
    assert await anext(source) == 0
    await source.aclose()
    assert closed == ["closed"]
