from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

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


async def read(interrupt: Interrupt, source: AsyncGenerator[int, None], seen: list[int]) -> None:
    with interrupt.stoppable():
        async with aclosing(source):
            async for number in source:
                seen.append(number)


async def test_everything_passes_in_order() -> None:
    closed: list[str] = []
    seen: list[int] = []
    await read(Interrupt(), numbers(closed), seen)
    assert seen == list(range(1000))
    assert closed == ["closed"]


async def test_what_waits_is_stopped() -> None:
    closed: list[str] = []
    seen: list[int] = []
    interrupt = Interrupt()
    reading = asyncio.create_task(read(interrupt, numbers(closed, pause=60), seen))
    await asyncio.sleep(0)
    assert seen == [0]
    interrupt.stop("cancelled")
    with pytest.raises(Stopped):
        await reading
    assert reading.cancelling() == 0
    assert closed == ["closed"]
    with pytest.raises(Stopped):
        interrupt.check()


async def test_a_stop_before_the_source_has_begun() -> None:
    interrupt = Interrupt()
    reading = asyncio.ensure_future(read(interrupt, numbers([], pause=60), []))
    asyncio.get_running_loop().call_soon(interrupt.stop, "cancelled")
    with pytest.raises(Stopped):
        await asyncio.wait_for(reading, 60)


async def test_stop_before_scope_is_entered() -> None:
    interrupt = Interrupt()
    interrupt.stop("cancelled")
    seen: list[int] = []
    with pytest.raises(Stopped):
        await read(interrupt, numbers([]), seen)
    assert seen == []


async def test_patience_lets_a_source_with_grace_end() -> None:
    interrupt = Interrupt()
    seen = []
    with interrupt.stoppable(grace=60):
        async for number in numbers([], pause=0.0):
            seen.append(number)
            if number == 3:
                interrupt.stop("incomplete", "steered", patience=True)
    assert len(seen) == 1000
    assert (interrupt.status, interrupt.reason) == ("incomplete", "steered")


async def test_grace_ends() -> None:
    interrupt = Interrupt()
    asyncio.get_running_loop().call_soon(lambda: interrupt.stop("incomplete", "steered", patience=True))
    with pytest.raises(Stopped), interrupt.stoppable(grace=0.01):
        await asyncio.sleep(60)


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

    seen: list[int] = []
    with pytest.raises(ValueError, match="wrong"):
        await read(Interrupt(), failing(), seen)
    assert seen == [1]
    closed: list[str] = []
    reading = asyncio.create_task(read(Interrupt(), numbers(closed, pause=60), []))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert closed == ["closed"]


async def test_cancelled_task_stays_cancelled_when_stopped_too() -> None:
    interrupt = Interrupt()
    reading = asyncio.create_task(read(interrupt, numbers([], pause=60), []))
    await asyncio.sleep(0)
    interrupt.stop("cancelled")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_clean_up_that_fails_hides_the_stop() -> None:
    interrupt = Interrupt()

    async def failing() -> None:
        with interrupt.stoppable():
            try:
                await asyncio.sleep(60)
            finally:
                raise ValueError("clean-up")

    running = asyncio.create_task(failing())
    await asyncio.sleep(0)
    interrupt.stop("cancelled")
    with pytest.raises(ValueError, match="clean-up"):
        await running
    assert running.cancelling() == 0
