"""Deliver events to endpoints, again and again until each has answered, also after a restart.

Of several processes that share an outbox the one that holds its lock delivers, for all of them. An event may
arrive twice, always under the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from agent_kernel.each import skipped
from agent_kernel.errors import AgentKernelError
from agent_kernel.runtime.webhooks.outbox import Attempts, Outbox, Owed
from agent_kernel.runtime.webhooks.signing import signed
from agent_kernel.store.rows import Rows
from agent_kernel.tools.outbound import AllowedHosts, LimitedTransport, client_of

log = logging.getLogger(__name__)

KINDS = {
    "completed": "response.completed",
    "failed": "response.failed",
    "cancelled": "response.cancelled",
    "incomplete": "response.incomplete",
}
"""Events, by the status with which a response ends."""

FIRST_WAIT, LONGEST_WAIT = 5.0, 6 * 3600.0
"""Seconds before the second attempt, and at most between two. Each wait is four times the one before."""
GIVEN_UP = 72 * 3600.0
"""Seconds after which an endpoint that does not answer is left out."""
ATTEMPT = 15.0
"""Seconds that an endpoint has to answer."""
LOOK = 5.0
"""Seconds after which the outbox is looked at anyway: another process may have written to it."""
YOUNG = 60.0
"""Seconds during which a turn may not be stored yet."""
AT_ONCE = 8


class _StatusOnly(LimitedTransport):
    """Sends to checked addresses. The body of an answer is not read, so it may be of any kind."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        return await httpx2.AsyncHTTPTransport.handle_async_request(self, request)


@dataclass(frozen=True)
class HookAddress:
    """Where events go, and the bytes that sign them.

    `key` is the name of the API key whose turns are told there; None: the turns of all keys.
    """

    url: str
    signs: bytes
    key: str | None = None


@dataclass(frozen=True)
class Endpoints:
    """The operator's addresses, and the private hosts that they may be on."""

    addresses: Sequence[HookAddress]
    hosts: AllowedHosts
    first_wait: float = FIRST_WAIT
    look: float = LOOK

    def of(self, key: str | None) -> Mapping[str, HookAddress]:
        """Return the addresses that are told of a key's turns, by URL. The key's own come before others."""
        every = [each for each in self.addresses if each.key is None]
        own = [each for each in self.addresses if key is not None and each.key == key]
        return {each.url: each for each in (*every, *own)}


class Webhooks:
    """Delivers the ends of background turns. `rows` are those of all keys."""

    def __init__(self, endpoints: Endpoints, outbox: Outbox) -> None:
        self._endpoints = endpoints
        self._outbox = outbox
        self._rows: Rows | None = None
        self._news = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._lock: int | None = None

    def start(self, rows: Rows) -> None:
        """Begin to deliver, with what an earlier process has left. Idempotent."""
        if self._task is None:
            self._rows = rows
            self._task = asyncio.create_task(self._deliver(), name="webhooks")

    async def expect(self, response_id: str, key: str) -> None:
        """Write down that the end of a turn of `key` will be delivered, if anywhere. Raises `OSError`."""
        owed = Owed(response_id, key=key, left={url: Attempts() for url in self._endpoints.of(key)})
        if owed.left:
            await asyncio.to_thread(self._outbox.put, owed)

    def ended(self) -> None:
        """Take note that a turn has ended."""
        self._news.set()

    async def aclose(self) -> None:
        """Stop. What is not delivered stays for the next start."""
        tasks = [*self._running.values(), *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _deliver(self) -> None:
        while True:
            wait = self._endpoints.look
            self._news.clear()
            try:
                if self._holds_lock():
                    wait = await self._look()
            except Exception:
                log.exception("Webhooks could not be looked for; this is tried again.")
            with suppress(TimeoutError):  # `wait_for` of Python 3.11 can swallow a cancellation
                async with asyncio.timeout(wait):
                    await self._news.wait()

    def _holds_lock(self) -> bool:
        if self._lock is None:
            if not self._outbox.folder.is_dir():
                return False
            opened = os.open(self._outbox.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(opened)
                return False
            self._lock = opened
        return True

    async def _look(self) -> float:
        """Begin the attempts that are due; return the seconds until the next look."""
        wait = self._endpoints.look
        for owed in await asyncio.to_thread(lambda: list(self._outbox.all())):
            with skipped(f"The webhook of {owed.response_id}"):
                if owed.kind or await self._end(owed):
                    wait = min(wait, self._due(owed))
        return wait

    def _due(self, owed: Owed) -> float:
        """Begin the attempts of one event that are due; return the seconds until its next one."""
        wait = self._endpoints.look
        known = self._endpoints.of(owed.key)
        wanted = {url: each for url, each in owed.left.items() if url in known}
        if not wanted:
            self._outbox.remove(owed.response_id)
        for url, attempts in wanted.items():
            due = attempts.next_at - time.time()
            if (owed.response_id, url) in self._running:
                continue
            if due <= 0:
                self._begin(owed.response_id, url)
            else:
                wait = min(wait, due)
        return wait

    async def _end(self, owed: Owed) -> bool:
        """Write down how a turn has ended. Return False while it runs, or if nothing is left of it."""
        assert self._rows is not None  # noqa: S101 (`start` sets it)
        row = await self._rows.response(owed.response_id)
        if row is None:
            if time.time() - owed.begun_at > YOUNG:  # it was refused, or is deleted
                self._outbox.remove(owed.response_id)
            return False
        kind = KINDS.get(row.status)
        if row.owner is not None or kind is None:
            return False
        owed.kind, owed.ended_at = kind, int(time.time())
        self._outbox.put(owed)
        return True

    def _begin(self, response_id: str, url: str) -> None:
        key = response_id, url
        task = self._running[key] = asyncio.create_task(self._attempt(response_id, url))

        def done(_: asyncio.Task[None]) -> None:
            del self._running[key]
            self._news.set()

        task.add_done_callback(done)

    async def _attempt(self, response_id: str, url: str) -> None:
        """Send an event once, and write down whether it has arrived."""
        async with self._places:
            owed = self._outbox.get(response_id)
            if owed is None or url not in owed.left:
                return
            problem = await self._send(owed, url)
            # No wait between reading and writing: attempts at other endpoints write the same file.
            owed = self._outbox.get(response_id)
            if owed is None or url not in owed.left:
                return
            if problem is None or not self._again(owed, url, problem):
                del owed.left[url]
            if owed.left:
                self._outbox.put(owed)
            else:
                self._outbox.remove(response_id)

    def _again(self, owed: Owed, url: str, problem: str) -> bool:
        """Plan the next attempt; return False if there is none."""
        attempts = owed.left[url]
        wait = min(self._endpoints.first_wait * 4**attempts.count, LONGEST_WAIT)
        attempts.count += 1
        attempts.next_at = time.time() + wait * random.uniform(1.0, 1.2)  # noqa: S311 (spreads the load)
        goes_on = time.time() - owed.ended_at < GIVEN_UP
        log.log(
            logging.INFO if goes_on else logging.ERROR,
            "Webhook %s of %s was not delivered to %s (attempt %d): %s.%s",
            owed.kind,
            owed.response_id,
            urlsplit(url).hostname,
            attempts.count,
            problem,
            "" if goes_on else " It is not tried again.",
        )
        return goes_on

    async def _send(self, owed: Owed, url: str) -> str | None:
        """Return why an event did not arrive; None if it did."""
        body = owed.body()
        address = self._endpoints.of(owed.key)[url]
        headers = signed(address.signs, owed.id, int(time.time()), body)
        transport = _StatusOnly(self._endpoints.hosts)
        try:
            async with (
                asyncio.timeout(ATTEMPT),
                client_of(transport, headers) as client,
                client.stream("POST", url, content=body) as answer,
            ):
                return None if answer.is_success else f"it answered {answer.status_code}"
        except TimeoutError:
            return f"it did not answer in {ATTEMPT:.0f} s"
        except (httpx2.HTTPError, AgentKernelError, OSError) as error:
            return f"{type(error).__name__}: {error}".rstrip(".")
