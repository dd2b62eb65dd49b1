"""Turns that outlive the request that began them, and the streams that follow them.

A turn runs in its own task and writes every event to its journal in batches: the events that arrive while one
batch is written form the next. Followers read the journal. So a follower may start late, leave, come back or
be slow, and it costs no memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from openai.types.responses import Response, ResponseStreamEvent

from agent_kernel.errors import AgentKernelError
from agent_kernel.protocol.sse import own_event
from agent_kernel.runtime.background.journal import Journal
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.loop import TurnLoop
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.runtime.webhooks.delivery import Webhooks
from agent_kernel.store.records import Json
from agent_kernel.store.rows import Rows

log = logging.getLogger(__name__)

SERVER_STOPPED = "agent_kernel.server_stopped"
"""`incomplete_details.reason` of a background turn that ended because its server was shut down."""

READ = 256
"""Events that a follower reads at a time."""


END = 10.0
"""Seconds that a turn has to end when its server shuts down."""


class _Live:
    """A turn that runs in this process."""

    def __init__(self, run: Turn, interrupt: Interrupt, journal: Journal) -> None:
        self.run = run
        self.interrupt = interrupt
        self.journal = journal
        self.task: asyncio.Task[None] | None = None
        self.handed_over = False


class Background:
    """The background turns of one process for one tenant. `key` is the name of its API key."""

    def __init__(self, store: Rows, loop: TurnLoop, webhooks: Webhooks | None = None, key: str = "") -> None:
        self._store = store
        self._loop = loop
        self._webhooks = webhooks
        self._key = key
        self._live: dict[str, _Live] = {}

    def __len__(self) -> int:
        return len(self._live)

    async def start(self, run: Turn, interrupt: Interrupt, held: AsyncExitStack) -> None:
        """Begin a turn. It is queued and can be followed when this returns. `held` is closed when it ends."""
        journal = Journal(self._store, run.id)
        run.record.journal = journal
        await run.approvals.claim(run.id, run.assembler)
        opening = run.assembler.queue()
        if self._webhooks is not None:  # before the turn exists: then nothing can come between
            await self._webhooks.expect(run.id, self._key)
        await run.record.begin(run)
        for event in opening:
            journal.take(event)
        await journal.flush()
        self._drive_on(run, interrupt, journal, held)

    async def go_on(
        self, run: Turn, interrupt: Interrupt, held: AsyncExitStack, owed: Sequence[Json]
    ) -> None:
        """Resume a turn whose process died. `owed` are the events that it had not written yet."""
        journal = Journal(self._store, run.id)
        run.record.journal = journal
        if self._webhooks is not None:  # its first server may have a data folder of its own
            await self._webhooks.expect(run.id, self._key)
        await run.record.begin(run)
        await self._store.append_events(
            run.id, [(event["sequence_number"], json.dumps(event)) for event in owed]
        )
        self._drive_on(run, interrupt, journal, held)

    def _drive_on(self, run: Turn, interrupt: Interrupt, journal: Journal, held: AsyncExitStack) -> None:
        live = self._live[run.id] = _Live(run, interrupt, journal)
        live.task = asyncio.create_task(self._drive(live, held), name=f"background {run.id}")

    async def _drive(self, live: _Live, held: AsyncExitStack) -> None:
        run, journal = live.run, live.journal
        try:
            async with held:
                try:
                    await self._loop.run(run)
                except AgentKernelError as error:  # it could not begin, or could not be written down
                    await self._loop.fail(run, error)
        except Exception:
            log.exception("The background turn %s broke off.", run.id, extra={"response_id": run.id})
        finally:
            if not live.handed_over:  # else its followers wait for the process that goes on with it
                self._live.pop(run.id, None)
                journal.wake()
            if self._webhooks is not None:
                self._webhooks.ended()

    def snapshot(self, response_id: str) -> Response | None:
        """Return the response as it is now, if it runs here."""
        live = self._live.get(response_id)
        return live.run.assembler.response if live is not None else None

    def written(self, response_id: str) -> asyncio.Event | None:
        """Return an event that is set when the turn's journal grows next; None if it does not run here."""
        live = self._live.get(response_id)
        return live.journal.written if live is not None else None

    async def cancel(self, response_id: str) -> None:
        """Stop a turn and wait until it has ended. Does nothing if it does not run here."""
        live = self._live.get(response_id)
        if live is not None and live.task is not None:
            live.interrupt.stop("cancelled")
            await asyncio.wait({live.task})

    async def follow(self, response_id: str, after: int) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Yield the events numbered above `after`, including those to come."""
        while True:
            news = self.written(response_id)
            entries = await self._store.events(response_id, after, READ)
            for number, text in entries:
                after = number
                yield own_event(json.loads(text))
            if len(entries) == READ:
                continue
            if news is None:
                return
            await news.wait()

    async def hand_over(self, detach: Callable[[str], Awaitable[None]]) -> None:
        """Leave every turn as a killed process would, with all that it has done written down.

        Another process resumes them. `detach` closes the channel to a container, so that what runs there is
        not stopped.
        """
        turns = [live for live in self._live.values() if not live.run.record.ended]
        for live in turns:
            live.interrupt.bar()
        for live in turns:
            if live.run.record.ended:
                continue
            live.handed_over = live.run.record.ended = True
            await live.journal.hand_over()
            if live.run.container_id is not None:
                await detach(live.run.container_id)
            if live.task is not None:
                live.task.cancel()
        await asyncio.gather(*(live.task for live in turns if live.task is not None), return_exceptions=True)

    async def aclose(self) -> None:
        """Stop every turn that was not handed over, and wait for its end. Idempotent."""
        tasks = []
        for live in [each for each in self._live.values() if not each.handed_over]:
            live.interrupt.stop("incomplete", SERVER_STOPPED)
            if live.task is not None:
                tasks.append(live.task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=END)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
