"""The contract of coordination, for every kind of store: processes reach each other's turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.store.coordination import Coordination
from agent_kernel.store.folder.coordination import FolderCoordination
from tests.store.conftest import Open


class Turns:
    """Stands for the background turns of a process: one, whose journal grows when the test says so."""

    def __init__(self) -> None:
        self.journal: asyncio.Event | None = asyncio.Event()
        self.cancelled: list[str] = []

    def written(self, response_id: str) -> asyncio.Event | None:
        return self.journal if response_id == "resp_1" else None

    async def cancel(self, response_id: str) -> None:
        self.cancelled.append(response_id)
        self.grow(ended=True)

    async def ask(self, response_id: str, question: str) -> str:
        return f"{response_id}: {question}"

    def grow(self, *, ended: bool = False) -> None:
        before, self.journal = self.journal, None if ended else asyncio.Event()
        assert before is not None
        before.set()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
async def served(turns: Any, opened: Open) -> Coordination:
    served = opened().coordination
    await served.join()
    await served.serve(lambda id_: turns if turns.written(id_) else None)
    return served


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[FolderCoordination]:
    served = FolderCoordination(tmp_path)
    await served.join()
    await served.serve(lambda _: None)
    yield served
    await served.aclose()
    assert list((tmp_path / "peers").iterdir()) == []
    assert list((tmp_path / "owners").iterdir()) == []


async def test_news_of_a_turn_until_it_ends(turns: Turns, served: Coordination, opened: Open) -> None:
    news = opened().coordination.news(served.id, "resp_1")
    async with asyncio.timeout(60):
        await anext(news)
        turns.grow()
        await anext(news)
        turns.grow(ended=True)
        async for _ in news:
            pass


async def test_a_turn_that_does_not_run_there_has_ended(served: Coordination, opened: Open) -> None:
    async with asyncio.timeout(60):
        assert 1 <= len([_ async for _ in opened().coordination.news(served.id, "resp_2")]) <= 2


async def test_a_cancel_returns_when_the_turn_has_ended(
    turns: Turns, served: Coordination, opened: Open
) -> None:
    async with asyncio.timeout(60):
        await opened().coordination.cancel(served.id, "resp_1")
    assert turns.cancelled == ["resp_1"]
    assert turns.journal is None


async def test_many_follow_and_leave(turns: Turns, served: Coordination, opened: Open) -> None:
    other = opened().coordination
    streams = [other.news(served.id, "resp_1") for _ in range(5)]
    async with asyncio.timeout(60):
        for stream in streams:
            await anext(stream)
        await streams[0].aclose()
        turns.grow(ended=True)
        for stream in streams[1:]:
            async for _ in stream:
                pass


async def test_questions_of_any_size_are_answered(served: Coordination, opened: Open) -> None:
    other = opened().coordination
    async with asyncio.timeout(60):
        for question in ("x", "ä\n" * 200_000):
            assert await other.ask(served.id, "resp_1", question) == f"resp_1: {question}"
        with pytest.raises(InvalidRequest, match="cannot be reached"):
            await other.ask(served.id, "resp_2", "x")
        with pytest.raises(InvalidRequest, match="cannot be reached"):
            await other.ask("nobody", "resp_1", "x")


async def test_alive_until_closed(opened: Open) -> None:
    one, two = opened().coordination, opened().coordination
    assert not await two.is_alive(one.id)
    await one.join()
    assert await two.is_alive(one.id)
    assert await one.is_alive(one.id)
    for strange in ("", "..", "a/b", "x\0y", "x" * 5000):
        assert not await two.is_alive(strange)
    await one.aclose()
    assert not await two.is_alive(one.id)


async def test_unreachable_process(folder: FolderCoordination, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be reached"):
        await anext(FolderCoordination(tmp_path).news("nobody", "resp_1"))
    with pytest.raises(InvalidRequest, match="cannot be reached"):
        await FolderCoordination(tmp_path / "elsewhere").cancel(folder.id, "resp_1")


async def test_a_process_that_closes_its_socket_is_waited_for(tmp_path: Path) -> None:
    """It releases its lock after its socket: only then is it dead to the others."""
    turns: Any = Turns()
    dying = FolderCoordination(tmp_path)
    await dying.join()
    await dying.serve(lambda _: turns)
    other = FolderCoordination(tmp_path)
    news = other.news(dying.id, "resp_1")
    await anext(news)
    await dying._peers.aclose()
    ended = asyncio.create_task(anext(news, "ended"))
    done, _ = await asyncio.wait({ended}, timeout=0.2)
    assert not done
    assert await other.is_alive(dying.id)
    await dying.aclose()
    assert await asyncio.wait_for(ended, 20) == "ended"
    assert not await other.is_alive(dying.id)
