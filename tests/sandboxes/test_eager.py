"""Coroutines that begin at once."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from agent_kernel.sandboxes.near.eager import InTime, begin

WORD: ContextVar[str] = ContextVar("word", default="")


async def test_begun_coroutine_runs_to_its_first_wait_at_once() -> None:
    steps: list[object] = []
    told = asyncio.get_running_loop().create_future()

    async def work() -> None:
        WORD.set("inner")
        steps.append(asyncio.current_task())
        steps.append(await told)
        steps.append(WORD.get())

    outer = asyncio.current_task()
    task = begin(work())
    assert steps == [task]
    assert (asyncio.current_task(), WORD.get()) == (outer, "")
    told.set_result("told")
    await task
    assert steps == [task, "told", "inner"]


async def test_begun_coroutine_hears_of_a_cancel_before_its_first_turn() -> None:
    heard = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    task = begin(work())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["cancelled"]


async def test_begun_coroutine_may_use_a_timeout() -> None:
    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()

    await begin(work())


async def test_begun_coroutine_that_fails_at_once_fails_its_task() -> None:
    async def work() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await begin(work())


async def test_what_ends_in_time_returns_or_raises() -> None:
    async def turns(count: int) -> int:
        for _ in range(count):
            await asyncio.sleep(0)
        return 10 // (3 - count)

    assert [await InTime(turns(count), 30) for count in (0, 1, 2)] == [3, 5, 10]
    with pytest.raises(ZeroDivisionError):
        await InTime(turns(3), 30)


async def test_what_does_not_end_in_time_is_cancelled() -> None:
    ended = []

    async def hang() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        await InTime(hang(), 0.01)
    assert ended == [True]
