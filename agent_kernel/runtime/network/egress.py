"""The egress of one container: decides by the container's present policy, and records every connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from agent_kernel.egress.broker import Broker, ConnectionRecord
from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.egress.policy import NetworkPolicy
from agent_kernel.egress.resolve import Resolver, system_resolver
from agent_kernel.runtime.network.refusals import Refusals
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.egress import EgressStream

log = logging.getLogger(__name__)

RECHECK = 5.0
"""Seconds after which the policy is read again while connections are open: another process can change it."""


@dataclass(frozen=True)
class RunningCall:
    """A tool call that runs in a container."""

    response: str
    call: str


_CALLER: ContextVar[RunningCall | None] = ContextVar("caller", default=None)
"""The call that ran when a connection began. The connection may end later."""


@dataclass(frozen=True)
class NetworkOptions:
    """How the containers of a runtime connect."""

    limits: NetworkLimits = NetworkLimits()  # noqa: RUF009 (frozen)
    resolver: Resolver = system_resolver


class ContainerEgress:
    """The `Egress` of the container `container_id`.

    `policy` returns the container's present policy. It is asked at every connection, and from time to time
    while one is open, so that a change by another process counts too. If it fails, a new connection fails.
    If it raises `ValueError`, the record is damaged, and nothing is allowed.
    """

    def __init__(
        self,
        container_id: str,
        policy: Callable[[], Awaitable[NetworkPolicy]],
        options: NetworkOptions,
        audit: AuditLog,
    ) -> None:
        self.broker = Broker(NetworkPolicy(), options.limits, self._record, resolver=options.resolver)
        self._id = container_id
        self._policy = policy
        self._audit = audit
        self._refusals = Refusals()
        self._callers: list[RunningCall] = []
        self._version = 0
        self._open = 0
        self._rechecking: asyncio.Task[None] | None = None

    def change(self, policy: NetworkPolicy) -> None:
        """Apply a new policy: open connections that it does not allow are closed."""
        self._version += 1
        self.broker.policy = policy

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        """See `Egress.connect` and `Broker.connect`."""
        await self._read_policy()
        _CALLER.set(self._callers[0] if len(self._callers) == 1 else None)
        self._open += 1
        if self._rechecking is None:
            self._rechecking = asyncio.create_task(self._recheck(), name=f"network-policy-{self._id}")
        try:
            await self.broker.connect(name, port, stream)
        finally:
            self._open -= 1
            if not self._open and self._rechecking is not None:
                self._rechecking.cancel()
                self._rechecking = None

    async def _read_policy(self) -> None:
        while True:
            version, policy = self._version, await self._policy()
            if version == self._version:  # otherwise it was changed meanwhile, and this one may be old
                break
        if policy != self.broker.policy:
            self.broker.policy = policy

    async def _recheck(self) -> None:
        """Read the policy again and again, and close what it no longer allows."""
        while True:
            await asyncio.sleep(RECHECK)
            try:
                await self._read_policy()
            except ValueError:
                self.broker.policy = NetworkPolicy()
            except Exception:  # the store fails, and new connections fail with it
                log.exception("The network policy of container %s could not be read again.", self._id)

    @contextmanager
    def calling(self, caller: RunningCall) -> Iterator[None]:
        """Attribute the connections that begin meanwhile to a call, if it is the only one."""
        self._callers.append(caller)
        try:
            yield
        finally:
            self._callers.remove(caller)

    def take_refusals(self) -> Sequence[str]:
        """Return a line for each destination that was refused since the last call."""
        return self._refusals.take()

    def _record(self, record: ConnectionRecord) -> None:
        caller = _CALLER.get()
        if record.decision == "refused":
            self._refusals.add(record.name, record.port, record.reason)
        self._audit.write(
            "connection", container=self._id, response=caller.response if caller else None,
            call=caller.call if caller else None, name=record.name, address=record.address,
            port=record.port, decision=record.decision, rule=record.rule, reason=record.reason,
            failure=record.failure, sent=record.sent, received=record.received, seconds=record.seconds,
        )  # fmt: skip
