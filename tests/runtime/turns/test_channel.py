"""The bounded channel between a turn and its reader."""

from __future__ import annotations

import asyncio

import pytest

from agent_kernel.runtime.turns.channel import EventChannel, streamed, together


async def test_events_in_order_then_end() -> None:
    async def work(channel: EventChannel[int]) -> None:
        for number in range(1000):
            channel.put([number])
            await channel.wait_for_room()

    assert [number async for number in streamed(work)] == list(range(1000))


@pytest.mark.parametrize("room", [1, 2, 8])
@pytest.mark.parametrize("batch", [1, 3])
async def test_writer_waits_for_reader(room: int, batch: int) -> None:
    made = 0
    full = asyncio.Event()

    async def work(channel: EventChannel[int]) -> None:
        nonlocal made
        while True:
            channel.put(range(batch))
            made += batch
            asyncio.get_running_loop().call_soon(full.set)
            await channel.wait_for_room()
            full.clear()

    events = streamed(work, room)
    for read in range(1, 20):
        await anext(events)
        for _ in range(10):
            await asyncio.sleep(0)
        assert read <= made < read + room + batch
    await full.wait()
    await events.aclose()


async def test_failure_follows_its_events() -> None:
    async def work(channel: EventChannel[int]) -> None:
        channel.put([1, 2])
        raise ValueError("wrong")

    events = streamed(work)
    assert [await anext(events), await anext(events)] == [1, 2]
    with pytest.raises(ValueError, match="wrong"):
        await anext(events)


@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_leaving_reader_cancels_writer_and_waits_for_it(leave: str) -> None:
    ended = []
    begun = asyncio.Event()

    async def work(channel: EventChannel[int]) -> None:
        try:
            channel.put([1])
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    events = streamed(work)
    assert await anext(events) == 1
    if leave == "close":
        await events.aclose()
    else:
        reading = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert ended == [True]


async def test_second_cancel_lets_writer_end_by_itself() -> None:
    ended = asyncio.Event()
    cleaning = asyncio.Event()
    go = asyncio.Event()

    async def work(channel: EventChannel[int]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await go.wait()
            ended.set()

    reading = asyncio.ensure_future(anext(streamed(work)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    await cleaning.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not ended.is_set()
    go.set()
    await ended.wait()


async def test_calls_run_together_and_share_the_channel() -> None:
    met = asyncio.Barrier(2)

    async def work(channel: EventChannel[str]) -> None:
        async def call(name: str) -> None:
            await met.wait()  # one after the other they would never meet
            for _ in range(20):
                channel.put([name])
                await channel.wait_for_room()

        await together(call("a"), call("b"))

    seen = [name async for name in streamed(work, 2)]
    assert sorted(seen) == ["a"] * 20 + ["b"] * 20


async def test_failure_of_one_call_cancels_the_others() -> None:
    ended: list[str] = []
    waiting = asyncio.Event()

    async def waits() -> None:
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def fails() -> None:
        await waiting.wait()
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await together(waits(), fails())
    assert ended == ["cancelled"]
