"""The running calls of one server: their time limits, and what the server asks the user meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agent_kernel.tools.mcp.elicitation import (
    DECLINED,
    AskUser,
    ServerAnswer,
    ServerQuestion,
    read_server_question,
)

if TYPE_CHECKING:
    from mcp_types import ElicitRequestParams, ElicitResult

MOST_QUESTIONS = 20
"""Questions that a server may ask in one turn. Further ones are declined."""


class OpenCalls:
    """Keeps the time of a server's calls. While one of its questions waits for the user, it stands still.

    A question without a running call is declined, and one that outlives the calls is withdrawn.
    """

    def __init__(self, label: str, ask: AskUser | None = None) -> None:
        self._label = label
        self._ask = ask
        self._limits: dict[asyncio.Timeout, float] = {}
        self._open: set[asyncio.Task[ServerAnswer]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._asked = 0

    @asynccontextmanager
    async def limited(self, seconds: float, *, asks: bool) -> AsyncGenerator[None, None]:
        """Hold a request to the server; one that `asks` is a call.

        Raises `TimeoutError` once it has taken so long without waiting for the user.
        """
        async with asyncio.timeout(None if self._open and asks else seconds) as limit:
            if not asks:
                yield
                return
            self._limits[limit] = seconds
            try:
                yield
            finally:
                del self._limits[limit]
                if not self._limits:
                    await self._withdraw()

    async def elicited(self, context: Any, params: ElicitRequestParams) -> ElicitResult:
        """Answer a server's question, as the `mcp` package calls for it."""
        question = read_server_question(self._label, params)
        self._asked += 1
        if question is None or self._ask is None or not self._limits or self._asked > MOST_QUESTIONS:
            return DECLINED.result()
        asking = asyncio.create_task(self._answer(self._ask, question), name="mcp question")
        self._open.add(asking)
        self._restart(waits=True)
        try:
            await asyncio.wait({asking})
            return (ServerAnswer("cancel") if asking.cancelled() else asking.result()).result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            self._open.discard(asking)
            if not self._open:
                self._restart(waits=False)

    async def _answer(self, ask: AskUser, question: ServerQuestion) -> ServerAnswer:
        async with self._one_at_a_time:
            return await ask(question)

    def _restart(self, *, waits: bool) -> None:
        now = asyncio.get_running_loop().time()
        for limit, seconds in self._limits.items():
            if not limit.expired():
                limit.reschedule(None if waits else now + seconds)

    async def _withdraw(self) -> None:
        for asking in self._open:
            asking.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
