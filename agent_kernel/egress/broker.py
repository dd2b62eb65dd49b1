"""Decide about the connections of one container, make those that are allowed, and record each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent_kernel.egress.gate import NotForwarded, gate_for
from agent_kernel.egress.limits import LimitExceeded, NetworkLimits, NetworkMeter
from agent_kernel.egress.names import Address
from agent_kernel.egress.policy import NetworkDecision, NetworkPolicy, NetworkRule
from agent_kernel.egress.records import ConnectionRecord, NetworkUse
from agent_kernel.egress.relay import carry, say_goodbye
from agent_kernel.egress.resolve import (
    Dialler,
    Resolver,
    checked_addresses,
    connect_first,
    dial,
    system_resolver,
)
from agent_kernel.egress.secret_hosts import MISSING, AllowedTarget, SecretHosts
from agent_kernel.errors import ConnectDenied
from agent_kernel.sandboxes.egress import EgressStream

__all__ = ["Broker", "ConnectionRecord", "Record"]

Record = Callable[[ConnectionRecord], None]
"""Called once for each connection, when it has ended and before the sandbox gets the refusal."""

Judge = Callable[[NetworkDecision], Awaitable[NetworkDecision]]
"""Returns the decision about a connection in place of the policy's. It may wait, for a person's answer."""

_NO_LIMITS = NetworkLimits()
_LOOKUPS_AT_ONCE = 8


@dataclass(eq=False, slots=True)
class _Attempt:
    """A connection while it is open."""

    decision: NetworkDecision
    started: float
    began: float
    address: Address | None = None
    refusal: str | None = None
    failure: str | None = None
    sent: int = 0
    received: int = 0
    command: str = ""
    waiting: bool = False
    """Whether someone is being asked."""
    task: asyncio.Task[None] | None = None
    """What carries it, while a change of the policy can end that."""
    revoked: bool = False
    """Whether a change has."""

    def revoke(self) -> None:
        """End it if it is carried. Idempotent."""
        if self.task is not None and not self.revoked:
            self.revoked = True
            self.task.cancel()

    def ended(self) -> ConnectionRecord:
        rule, reason = self.decision.rule, self.refusal or self.decision.reason
        return ConnectionRecord(
            name=self.decision.name,
            port=self.decision.port,
            address=None if self.address is None else str(self.address),
            decision="refused" if self.refusal else "allowed",
            rule=None if rule is None else str(rule),
            reason=reason,
            by=self.decision.by,
            failure=self.failure,
            sent=self.sent,
            received=self.received,
            started=self.started,
            seconds=time.monotonic() - self.began,
            command=self.command,
        )


class Broker:
    """The `Egress` of one container: `policy` decides, `limits` bound, `record` gets every connection.

    A container keeps one broker, so that its limits go on counting when a host attaches again. `resolver` and
    `dialler` find and reach servers; they get only names and addresses that the policy allows. `judge` can
    replace the policy's decision; it is not asked about names that are not host names.
    """

    def __init__(
        self,
        policy: NetworkPolicy,
        limits: NetworkLimits = _NO_LIMITS,
        record: Record | None = None,
        *,
        resolver: Resolver = system_resolver,
        dialler: Dialler = dial,
        judge: Judge | None = None,
    ) -> None:
        self._policy = policy
        self._meter = NetworkMeter(limits)
        self._record = record
        self._resolver = resolver
        self._dialler = dialler
        self._judge = judge
        self._use = NetworkUse()
        self._lookups = asyncio.Semaphore(_LOOKUPS_AT_ONCE)
        self._throttled = False
        self._termination: SecretHosts | None = None
        self._serving: dict[_Attempt, None] = {}

    @property
    def policy(self) -> NetworkPolicy:
        """The policy that the next connection is decided by.

        Setting it ends the open connections that the new policy does not allow. Set it in the event loop.
        """
        return self._policy

    @policy.setter
    def policy(self, policy: NetworkPolicy) -> None:
        self._policy = policy
        for attempt in self._serving:
            if attempt.task is not None and not _allows(policy, attempt.decision):
                attempt.revoke()

    @property
    def termination(self) -> SecretHosts | None:
        """What reads the TLS of hosts with a secret, and of read-only rules. None: there is no such host.

        Setting it ends the open connections to hosts that have a secret now or had one.
        """
        return self._termination

    @termination.setter
    def termination(self, termination: SecretHosts | None) -> None:
        both = [each for each in (self._termination, termination) if each is not None]
        self._termination = termination
        for attempt in self._serving:
            if any(each.covers(attempt.decision.name) for each in both):
                attempt.revoke()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._meter.open

    def used(self) -> NetworkUse:
        """Return the destinations of all connections that have ended."""
        return self._use

    def serving(self) -> list[ConnectionRecord]:
        """Return the connections that are open, or wait for an answer, as they are now."""
        return [attempt.ended() for attempt in self._serving]

    async def connect(self, name: str, port: int, stream: EgressStream, command: str = "") -> None:
        """Make one connection, as `Egress.connect` describes. `command` is what runs, for the record.

        A program that is refused after it was connected gets an HTTP 403 or a TLS alert. Raises
        `ConnectDenied` with the destination and the reason, `OSError` for a failed connection.
        """
        attempt = _Attempt(self._policy.decide(name, port), time.time(), time.monotonic(), command=command)
        try:
            self._meter.attempt()
        except LimitExceeded as error:
            attempt.refusal = str(error)
            self._throttle(attempt)
            raise self._denied(attempt) from None
        self._throttled = False
        try:
            await self._serve(attempt, stream)
        except (LimitExceeded, ConnectDenied, NotForwarded) as error:
            attempt.refusal = error.message if isinstance(error, ConnectDenied) else str(error)
            self._finish(attempt)
            if isinstance(error, NotForwarded) and error.goodbye is not None:
                await error.goodbye()
                return
            if isinstance(error, NotForwarded) and error.answer:
                await say_goodbye(stream, error.answer)
                return
            raise self._denied(attempt) from None
        except OSError as error:
            attempt.failure = error.strerror or str(error) or "the connection failed"
            self._finish(attempt)
            raise
        except BaseException:
            if attempt.waiting:
                attempt.refusal = "it ended before there was an answer"
            self._finish(attempt)
            raise
        self._finish(attempt)

    async def _serve(self, attempt: _Attempt, stream: EgressStream) -> None:
        if attempt.decision.rule is None and not self._policy.asks:
            raise ConnectDenied(attempt.decision.reason)
        self._meter.begin()  # a connection that waits for an answer is open
        self._serving[attempt] = None
        policy = self._policy
        try:
            if self._judge is not None:
                attempt.waiting = True
                attempt.decision = await self._judge(attempt.decision)
                attempt.waiting = False
            rule = attempt.decision.rule
            if rule is None:
                raise ConnectDenied(attempt.decision.reason)
            if self._policy is not policy and not _allows(self._policy, attempt.decision):  # while asked
                raise ConnectDenied(_no_longer(self._policy, attempt.decision))
            self._check_readable(attempt.decision, rule)
            await self._carry_within_policy(attempt, rule, stream)
        finally:
            self._meter.end()
            del self._serving[attempt]

    def _check_readable(self, decision: NetworkDecision, rule: NetworkRule) -> None:
        if self._termination is None and not rule.read_only:  # most often
            return
        to = AllowedTarget(decision.name, decision.port, rule)
        if self._termination is not None:
            self._termination.check(to)
        elif to.read:
            raise ConnectDenied(MISSING)

    async def _carry_within_policy(self, attempt: _Attempt, rule: NetworkRule, stream: EgressStream) -> None:
        """Carry a connection. Raises `ConnectDenied` when a new policy does not allow it."""
        task, decision = asyncio.current_task(), attempt.decision
        if task is None:
            raise RuntimeError("a connection is carried by a task")
        attempt.task, cancelling = task, task.cancelling()
        try:
            await self._carry(attempt, rule, stream)
        except asyncio.CancelledError:
            if not attempt.revoked or task.uncancel() > cancelling:
                raise
            if _allows(self._policy, decision):
                raise ConnectDenied("the secrets of this host have changed; connect again") from None
            raise ConnectDenied(_no_longer(self._policy, decision)) from None
        finally:
            attempt.task = None

    async def _carry(self, attempt: _Attempt, rule: NetworkRule, stream: EgressStream) -> None:
        name, port = attempt.decision.name, attempt.decision.port
        async with self._lookups:
            addresses = await checked_addresses(name, rule, self._resolver)
        attempt.address, connected = await connect_first(addresses, port, self._dialler)

        def count(sent: int, received: int) -> None:
            self._meter.count(sent, received)
            if sent:  # each by one thread only
                attempt.sent += sent
            if received:
                attempt.received += received

        secrets = self._termination
        try:
            await stream.accept()
            if secrets is not None:
                to = AllowedTarget(name, port, rule)
                if secrets.covers(name) or to.read:
                    await secrets.carry(to, stream, connected, count)
                    return
            gate = gate_for(rule, name, port)
            await carry(stream, connected, gate if secrets is None else secrets.guarded(gate, port), count)
        finally:
            connected.close()

    def _throttle(self, attempt: _Attempt) -> None:
        """Record the first of several refusals: a program in a loop must not fill the audit log."""
        if self._throttled:
            self._use.add(attempt.ended())
        else:
            self._throttled = True
            self._finish(attempt)

    def _finish(self, attempt: _Attempt) -> None:
        record = attempt.ended()
        self._use.add(record)
        if self._record is not None:
            self._record(record)

    @staticmethod
    def _denied(attempt: _Attempt) -> ConnectDenied:
        decision = attempt.decision
        return ConnectDenied(f"{decision.name}:{decision.port} was refused: {attempt.refusal}.")


def _no_longer(policy: NetworkPolicy, decision: NetworkDecision) -> str:
    """Return why a policy does not let an open connection go on, as a phrase."""
    rule = policy.decide(decision.name, decision.port).rule
    return "it is no longer in the allowlist" if rule is None else f"it is now limited by the rule `{rule}`"


def _allows(policy: NetworkPolicy, decision: NetworkDecision) -> bool:
    """Return whether a policy lets an open connection go on, as the rule that it began with limits it."""
    rule = policy.decide(decision.name, decision.port).rule
    if rule is None:
        return decision.once and policy.asks
    return not rule.read_only or (decision.rule is not None and decision.rule.read_only)
