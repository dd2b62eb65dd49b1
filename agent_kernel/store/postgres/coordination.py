"""Coordination of processes on any number of hosts, through the database that they share.

Requests and news are notifications. They are lost while a process has no line, so whoever waits asks again
when its own line or the other's is back.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.store.coordination import UNREACHABLE, Died, FindTurn
from agent_kernel.store.postgres.connecting import DatabaseAddress
from agent_kernel.store.postgres.database import Membership, PostgresDatabase
from agent_kernel.store.postgres.line import Line
from agent_kernel.store.postgres.neighbour import Neighbour
from agent_kernel.store.postgres.peers import PeerTable

log = logging.getLogger(__name__)


class _PeerRequest:
    """A request of this process to another one about a turn."""

    def __init__(self, owner: str, words: tuple[str, ...]) -> None:
        self.owner = owner
        self.words = words
        self.news = asyncio.Event()
        self.ended = False
        self.refused = False
        self.letter = ""

    def end(self, *, refused: bool = False, letter: str = "") -> None:
        self.ended, self.refused, self.letter = True, refused, letter
        self.news.set()


class PostgresCoordination:
    """See `Coordination`. All processes must name the same database."""

    def __init__(self, address: DatabaseAddress, membership: Membership) -> None:
        self._id = uuid.uuid4().hex
        self._membership = membership
        self._database = PostgresDatabase(address, membership)
        self._peers = PeerTable(self._database)
        self._line = Line(address, membership, self._heard, self._is_back)
        self._neighbour = Neighbour(
            address, self._id, lambda: self._peers.next_of(self._id), self._peers.is_alive, self._has_died
        )
        self._find: FindTurn | None = None
        self._died: Died | None = None
        self._asked: dict[str, _PeerRequest] = {}
        self._answering: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._joined = self._closed = False
        self._joining = asyncio.Lock()

    @property
    def id(self) -> str:
        """See `Coordination`."""
        return self._id

    async def join(self) -> None:
        """See `Coordination`. Raises `ConfigurationError`."""
        async with self._joining:
            if not self._joined:
                await self._peers.next_of(self._id)  # makes the tables
                await self._line.open(self._id)
                self._joined = True
                self._neighbour.start()
                await self._peers.tell_all("here", self._id)

    async def is_alive(self, owner: str) -> bool:
        """See `Coordination`."""
        return await self._peers.is_alive(owner)

    async def serve(self, find: FindTurn, died: Died | None = None) -> None:
        """See `Coordination`."""
        await self.join()
        self._find, self._died = find, died
        if died is not None:
            await self._peers.serves(self._id)

    async def has_successor(self) -> bool:
        """See `Coordination`."""
        return self._joined and await self._peers.has_successor(self._id)

    async def news(self, owner: str, response_id: str) -> AsyncGenerator[None, None]:
        """See `Coordination`."""
        with self._asking(owner, "follow", response_id) as asked:
            yield
            await self._send(asked)
            while not asked.ended:
                await asked.news.wait()
                asked.news.clear()
                yield
            _check(asked)

    async def cancel(self, owner: str, response_id: str) -> None:
        """See `Coordination`."""
        with self._asking(owner, "cancel", response_id) as asked:
            await self._send(asked)
            while not asked.ended:
                await asked.news.wait()
                asked.news.clear()
            _check(asked)

    async def ask(self, owner: str, response_id: str, question: str) -> str:
        """See `Coordination`."""
        await self.join()
        letter = await self._peers.send(question)
        with self._asking(owner, "ask", response_id, letter) as asked:
            await self._send(asked)
            while not asked.ended:
                await asked.news.wait()
                asked.news.clear()
            answer = await self._peers.fetch(asked.letter) if asked.letter else ""
        if not answer:
            raise _unreachable()
        return answer

    @contextmanager
    def _asking(self, owner: str, what: str, response_id: str, *more: str) -> Iterator[_PeerRequest]:
        number = uuid.uuid4().hex
        asked = self._asked[number] = _PeerRequest(owner, (what, number, self._id, response_id, *more))
        try:
            yield asked
        finally:
            del self._asked[number]
            if not asked.ended and not self._closed:
                self._later(self._peers.tell(owner, "leave", number))

    async def _send(self, asked: _PeerRequest) -> None:
        await self.join()
        await self._peers.tell(asked.owner, *asked.words)
        if not await self._peers.is_alive(asked.owner):
            asked.end()

    # -- what other processes say -------------------------------------------------------------------------

    def _heard(self, payload: str) -> None:
        match payload.split(" "):
            case ["here", owner]:
                self._neighbour.look_again()
                self._ask_again(owner)
            case ["died", owner]:
                self._neighbour.look_again()
                self._gone(owner)
            case [("news" | "done" | "refused") as what, number] if number in self._asked:
                if what == "news":
                    self._asked[number].news.set()
                else:
                    self._asked[number].end(refused=what == "refused")
            case ["said", number, letter] if number in self._asked:
                self._asked[number].end(letter=letter)
            case ["ask", number, asker, response_id, letter] if number not in self._answering:
                self._begin(number, self._reply(number, asker, response_id, letter))
            case ["leave", number] if number in self._answering:
                self._answering[number].cancel()
            case [("follow" | "cancel") as what, number, asker, response_id] if number not in self._answering:
                self._begin(number, self._answer(what, number, asker, response_id))

    def _begin(self, number: str, work: Awaitable[None]) -> None:
        task = self._answering[number] = self._later(work)
        task.add_done_callback(lambda _: self._answering.pop(number, None))

    async def _reply(self, number: str, asker: str, response_id: str, letter: str) -> None:
        turns = self._find(response_id) if self._find is not None else None
        question = await self._peers.fetch(letter)
        if turns is None or not question:  # without a question: it was asked twice, and is being answered
            await self._peers.tell(asker, "refused", number)
            return
        answer = await self._peers.send(await turns.ask(response_id, question))
        await self._peers.tell(asker, "said", number, answer)

    async def _answer(self, what: str, number: str, asker: str, response_id: str) -> None:
        if self._find is None:
            await self._peers.tell(asker, "refused", number)
            return
        turns = self._find(response_id)
        if turns is not None and what == "cancel":
            await turns.cancel(response_id)
        while turns is not None and (written := turns.written(response_id)) is not None:
            await self._peers.tell(asker, "news", number)
            await written.wait()
            turns = self._find(response_id)
        await self._peers.tell(asker, "done", number)

    def _gone(self, owner: str) -> None:
        for asked in self._asked.values():
            if asked.owner == owner:
                asked.end()
        if self._died is not None:
            self._later(self._died())

    async def _has_died(self, owner: str) -> None:
        await self._peers.tell_all("died", owner)
        self._neighbour.look_again()

    def _is_back(self) -> None:
        """Ask everything again: what was said meanwhile is lost."""
        for owner in {asked.owner for asked in self._asked.values()}:
            self._ask_again(owner)
        self._later(self._peers.tell_all("here", self._id))

    def _ask_again(self, owner: str) -> None:
        for asked in self._asked.values():
            if asked.owner == owner:
                asked.news.set()
                self._later(self._send(asked))

    def _later(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """See `Coordination`."""
        if self._closed:
            return
        self._closed = True
        await self._neighbour.aclose()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._joined:
            await _logged(self._leave())
        await self._line.aclose()
        await self._database.aclose()

    async def _leave(self) -> None:
        self._membership.id = None  # this process may still say that it has ended
        await self._peers.cross_out(self._id)
        await self._peers.tell_all("died", self._id)


def _check(asked: _PeerRequest) -> None:
    if asked.refused:
        raise _unreachable()


def _unreachable() -> InvalidRequest:
    hint = "Ask the server that began it."
    return InvalidRequest(UNREACHABLE, hint=hint, param="response_id")


async def _logged(work: Awaitable[Any]) -> None:
    try:
        await work
    except AgentKernelError as error:
        log.warning("The other processes of the store cannot be reached: %s", error)
    except Exception:
        log.exception("A message of another process could not be dealt with.")
