from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.runtime.background.peers import Peers


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
async def turns(tmp_path: Path) -> AsyncIterator[Turns]:
    turns: Any = Turns()
    served = Peers(tmp_path, "one", lambda id_: turns if turns.written(id_) else None)
    await served.start()
    yield turns
    await served.aclose()
    assert list((tmp_path / "peers").iterdir()) == []


def peers(folder: Path) -> Peers:
    return Peers(folder, "two", lambda _: None)


async def test_news_of_a_turn_until_it_ends(turns: Turns, tmp_path: Path) -> None:
    news = peers(tmp_path).news("one", "resp_1")
    async with asyncio.timeout(20):
        await anext(news)
        turns.grow()
        await anext(news)
        turns.grow(ended=True)
        assert [_ async for _ in news] == [None]


async def test_a_turn_that_does_not_run_there_has_ended(turns: Turns, tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        assert [_ async for _ in peers(tmp_path).news("one", "resp_2")] == [None]


async def test_a_cancel_returns_when_the_turn_has_ended(turns: Turns, tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        await peers(tmp_path).cancel("one", "resp_1")
    assert turns.cancelled == ["resp_1"]
    assert turns.journal is None


async def test_who_cannot_be_reached_is_said_in_words(turns: Turns, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="another process"):
        await anext(peers(tmp_path).news("nobody", "resp_1"))
    with pytest.raises(InvalidRequest, match="another process"):
        await peers(tmp_path / "elsewhere").cancel("one", "resp_1")


async def test_a_process_that_closes_its_socket_is_waited_for(tmp_path: Path) -> None:
    """Its lock is let go of after its socket: only then is it dead to everybody."""
    turns: Any = Turns()
    dying = Peers(tmp_path, "one", lambda _: turns)
    await dying.start()
    (tmp_path / "owners").mkdir()
    lock = (tmp_path / "owners" / "one").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    news = peers(tmp_path).news("one", "resp_1")
    await anext(news)
    await dying.aclose()
    ended = asyncio.create_task(anext(news, "ended"))
    done, _ = await asyncio.wait({ended}, timeout=0.2)
    assert not done
    lock.close()
    assert await asyncio.wait_for(ended, 20) == "ended"
