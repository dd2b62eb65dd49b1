"""Questions about destinations: one for all connections of a container that wait for the same one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

log = logging.getLogger(__name__)

MOST_OPEN = 8
"""Questions about one container that may be open at once."""

Scope = Literal["once", "container"]


@dataclass(frozen=True)
class NetworkQuestion:
    """May a container's program connect to this destination? All text is safe to show.

    `reason` is a sentence. `command` is what runs, shortened, and `program` what connects, as far as that is
    known; both come from inside, so they are claims.
    """

    container: str
    name: str
    port: int
    reason: str
    command: str = ""
    program: str = ""


@dataclass(frozen=True)
class NetworkAnswer:
    """The answer to a question. `by` says who gave it; `reason` is a phrase.

    `once` is about the connections that wait, `container` about all connections of the container from now on.
    """

    allow: bool
    by: str
    scope: Scope = "once"
    reason: str = ""


class NetworkAsker(Protocol):
    """Asks about destinations."""

    async def ask(self, question: NetworkQuestion) -> NetworkAnswer:
        """Ask, and wait for the answer without a time limit. Cancelling withdraws the question."""
        ...


Ask = Callable[[], Awaitable[NetworkAnswer]]


@dataclass
class _Open:
    owner: object
    answer: asyncio.Future[NetworkAnswer]
    task: asyncio.Task[None] | None = None
    waiting: int = 0

    def settle(self, answer: NetworkAnswer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def withdraw(self) -> None:
        """Cancel the question, once: the asker may be showing its end already."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()


class Questions:
    """The open questions of one container. Use it from one event loop."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], _Open] = {}

    async def answer(self, name: str, port: int, ask: Ask, owner: object) -> NetworkAnswer:
        """Return the answer to a question; one about the same destination that is open already is joined.

        `ask` asks it. It is cancelled when nobody waits for its answer any more. `owner` is for `end`. Beyond
        `MOST_OPEN` questions the answer is no.
        """
        key = name, port
        found = self._open.get(key)
        if found is None:
            if len(self._open) >= MOST_OPEN:
                why = f"{MOST_OPEN} other destinations wait for an answer already"
                return NetworkAnswer(False, "limit", reason=why)
            found = self._open[key] = _Open(owner, asyncio.get_running_loop().create_future())
            found.task = asyncio.create_task(self._ask(ask, found))
        found.waiting += 1
        try:
            return await asyncio.shield(found.answer)
        finally:
            found.waiting -= 1
            if not found.waiting:
                self._close(key, found)

    async def _ask(self, ask: Ask, asked: _Open) -> None:
        try:
            asked.settle(await ask())
        except Exception:
            log.exception("A question about the network could not be asked.")
            asked.settle(NetworkAnswer(False, "policy", reason="the question could not be asked"))

    def _close(self, key: tuple[str, int], asked: _Open) -> None:
        if self._open.get(key) is asked:
            del self._open[key]
        asked.withdraw()

    def reconsider(self, decide: Callable[[str, int], NetworkAnswer | None]) -> None:
        """Answer the open questions that `decide` has an answer to, because the policy has changed."""
        for (name, port), asked in list(self._open.items()):
            if (answer := decide(name, port)) is not None:
                asked.settle(answer)
                asked.withdraw()

    def end(self, owner: object) -> None:
        """Answer no to the questions of a call that has ended."""
        for asked in list(self._open.values()):
            if asked.owner is owner:
                why = "the command ended before there was an answer"
                asked.settle(NetworkAnswer(False, "policy", reason=why))
                asked.withdraw()
