from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.store.folder.coordination import FolderCoordination


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

    def grow(self, *, ended: bool = False) -> None:
        before, self.journal = self.journal, None if ended else asyncio.Event()
        assert before is not None
        before.set()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
async def served(turns: Any, tmp_path: Path) -> AsyncIterator[FolderCoordination]:
    served = FolderCoordination(tmp_path)
    await served.join()
    await served.serve(lambda id_: turns if turns.written(id_) else None)
    yield served
    await served.aclose()
    assert list((tmp_path / "peers").iterdir()) == []
    assert list((tmp_path / "owners").iterdir()) == []


Served = FolderCoordination


async def test_news_of_a_turn_until_it_ends(turns: Turns, served: Served, tmp_path: Path) -> None:
    news = FolderCoordination(tmp_path).news(served.id, "resp_1")
    async with asyncio.timeout(60):
        await anext(news)
        turns.grow()
        await anext(news)
        turns.grow(ended=True)
        assert [_ async for _ in news] == [None]


async def test_a_turn_that_does_not_run_there_has_ended(served: Served, tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        assert [_ async for _ in FolderCoordination(tmp_path).news(served.id, "resp_2")] == [None]


async def test_a_cancel_returns_when_the_turn_has_ended(turns: Turns, served: Served, tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        await FolderCoordination(tmp_path).cancel(served.id, "resp_1")
    assert turns.cancelled == ["resp_1"]
    assert turns.journal is None


async def test_unreachable_process(served: Served, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be reached"):
        await anext(FolderCoordination(tmp_path).news("nobody", "resp_1"))
    with pytest.raises(InvalidRequest, match="cannot be reached"):
        await FolderCoordination(tmp_path / "elsewhere").cancel(served.id, "resp_1")


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


async def test_alive_until_closed(tmp_path: Path) -> None:
    one, two = FolderCoordination(tmp_path), FolderCoordination(tmp_path)
    assert not await two.is_alive(one.id)
    await one.join()
    assert await two.is_alive(one.id)
    assert await one.is_alive(one.id)
    for strange in ("", "..", "a/b", "x\0y", "x" * 5000):
        assert not await two.is_alive(strange)
    await one.aclose()
    assert not await two.is_alive(one.id)
