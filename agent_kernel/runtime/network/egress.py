"""The egress of one container: decides by the container's present policy, and records every connection.

A destination is decided in this order: the container's policy within the operator's, the approval rules for
hosts, and, if one of them asks, a person.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol

from agent_kernel.egress.broker import Broker, ConnectionRecord
from agent_kernel.egress.limits import NetworkLimits
from agent_kernel.egress.policy import NetworkDecision, NetworkPolicy, NetworkRule
from agent_kernel.egress.records import NetworkUse
from agent_kernel.egress.resolve import Dialler, Resolver, dial, system_resolver
from agent_kernel.policy.commands import plain_commands
from agent_kernel.policy.rules import Policy, Verdict, strictest_about_host
from agent_kernel.runtime.network.questions import NetworkAnswer, NetworkAsker, NetworkQuestion, Questions
from agent_kernel.runtime.network.refusals import Refusals
from agent_kernel.runtime.network.turn_use import TurnUse
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.egress import EgressStream

log = logging.getLogger(__name__)

FRESH = 0.005
"""Seconds for which a policy that was read decides about further connections, unless it changes here."""

RECHECK = 5.0
"""Seconds after which the policy is read again while connections are open: another process can change it."""

_LONGEST_REASON = 300
_LONGEST_COMMAND = 200

UNATTENDED = "the policy asks first, and no one can be asked here"
NOT_LISTED = "It is not in the allowlist, and the network policy asks."
ALLOWED = "allowed by the person who was asked"
DENIED = "denied by the person who was asked"


@dataclass(frozen=True)
class RunningCall:
    """A tool call that runs in a container. `command` is what it runs, shortened.

    `asker` asks about its destinations, if someone can be asked. `policies` are those of its turn, beside the
    operator's.
    """

    response: str
    call: str
    command: str = ""
    asker: NetworkAsker | None = None
    policies: Sequence[Policy] = ()


_CALLER: ContextVar[RunningCall | None] = ContextVar("caller", default=None)
"""The call that ran when a connection began. The connection may end later."""


@dataclass(frozen=True)
class NetworkOptions:
    """How the containers of a runtime connect. `rules` are the operator's approval policy.

    `resolver` and `dialler` find and reach servers.
    """

    limits: NetworkLimits = NetworkLimits()  # noqa: RUF009 (frozen)
    resolver: Resolver = system_resolver
    dialler: Dialler = dial
    rules: Policy = Policy()  # noqa: RUF009 (frozen)
    trust: Callable[[], ssl.SSLContext] = ssl.create_default_context
    """Makes the context that verifies the servers whose TLS is read."""


class KeptPolicy(Protocol):
    """The policy of one container in the store, within the operator's."""

    async def bound(self) -> NetworkPolicy:
        """Return the operator's policy: the most that an answer can allow."""
        ...

    async def read(self) -> NetworkPolicy:
        """Return the present policy. Its secrets are not in use before `use_secrets`."""
        ...

    def use_secrets(self) -> None:
        """Let connections use the secrets of the policy that was read last."""
        ...

    async def allow(self, rule: NetworkRule, by: str) -> NetworkPolicy:
        """Add a destination to a policy that asks, as `by` has decided. Return the policy after that."""
        ...


class ContainerEgress:
    """The `Egress` of the container `container_id`.

    `kept` has the container's present policy. It is read at a connection, unless that was done just before,
    and from time to time while one is open, so that a change by another process counts too. If it fails, a
    new connection fails. If it raises `ValueError`, the record is damaged, and nothing is allowed.
    """

    def __init__(self, container_id: str, kept: KeptPolicy, options: NetworkOptions, audit: AuditLog) -> None:
        self.broker = Broker(
            NetworkPolicy(),
            options.limits,
            self._record,
            resolver=options.resolver,
            dialler=options.dialler,
            judge=self._judge,
        )
        self._id = container_id
        self._kept = kept
        self._rules = options.rules
        self._audit = audit
        self._refusals = Refusals()
        self._turns = TurnUse()
        self._questions = Questions()
        self._granted: set[tuple[str, int]] = set()
        """Destinations that a person allowed for this container; rules no longer ask about them here."""
        self._callers: list[RunningCall] = []
        self._version = 0
        self._stale_at = 0.0
        self._open = 0
        self._recheck_at: asyncio.TimerHandle | None = None
        self._rechecking: asyncio.Task[None] | None = None

    def change(self, policy: NetworkPolicy) -> None:
        """Apply a new policy: open connections that it does not allow are closed."""
        self._version += 1
        self._granted.clear()
        self._apply(policy)

    def _apply(self, policy: NetworkPolicy) -> None:
        self.broker.policy = policy

        def decided(name: str, port: int) -> NetworkAnswer | None:
            if policy.decide(name, port).rule is not None:
                return NetworkAnswer(True, "policy") if self._verdict(name, port) is None else None
            return None if policy.asks else NetworkAnswer(False, "policy", reason="not in the allowlist")

        self._questions.reconsider(decided)

    async def connect(self, name: str, port: int, stream: EgressStream) -> None:
        """See `Egress.connect` and `Broker.connect`."""
        if time.monotonic() >= self._stale_at:
            await self._read_policy()
        _CALLER.set(self._callers[0] if len(self._callers) == 1 else None)
        self._open += 1
        self._recheck_later()
        try:
            caller = _CALLER.get()
            await self.broker.connect(name, port, stream, caller.command if caller else "")
        finally:
            self._open -= 1

    async def _read_policy(self) -> None:
        while True:
            began, version, policy = time.monotonic(), self._version, await self._kept.read()
            if version == self._version:  # otherwise it was changed meanwhile, and this one may be old
                break
        self._stale_at = began + FRESH
        self._kept.use_secrets()
        if policy != self.broker.policy:
            self._apply(policy)

    def _recheck_later(self) -> None:
        """Read the policy again after a while, and again, as long as a connection is open then."""
        if self._open and self._recheck_at is None:
            self._recheck_at = asyncio.get_running_loop().call_later(RECHECK, self._begin_recheck)

    def _begin_recheck(self) -> None:
        self._recheck_at = None
        if self._open:
            self._rechecking = asyncio.create_task(self._recheck(), name=f"network-policy-{self._id}")

    async def _recheck(self) -> None:
        """Read the policy, and close what it no longer allows."""
        try:
            await self._read_policy()
        except ValueError:
            self._apply(NetworkPolicy())
        except Exception:  # the store fails, and new connections fail with it
            log.exception("The network policy of container %s could not be read again.", self._id)
        self._recheck_later()

    @contextmanager
    def calling(self, caller: RunningCall) -> Iterator[None]:
        """Attribute the connections that begin meanwhile to a call, if it is the only one.

        Its questions are withdrawn at the end.
        """
        self._callers.append(caller)
        try:
            yield
        finally:
            self._callers.remove(caller)
            self._questions.end(caller)

    async def _judge(self, decision: NetworkDecision) -> NetworkDecision:
        """Return the decision after the approval rules, and after an answer where one of them asks."""
        verdict = self._verdict(decision.name, decision.port)
        if verdict is not None and verdict.action == "deny":
            return _refused(decision, f"denied by a rule: {verdict.reason}", "rule")
        granted = (decision.name, decision.port) in self._granted
        if decision.rule is not None and (verdict is None or verdict.action == "allow" or granted):
            return decision
        rule = decision.rule or (await self._kept.bound()).destination(decision.name, decision.port)
        if rule is None:
            return _refused(decision, "the operator's network policy does not allow it", "policy")
        if verdict is not None and verdict.action == "allow":
            reason = f"allowed by a rule: {verdict.reason}"
            return replace(decision, rule=rule, reason=reason, by="rule", once=True)
        why = verdict.reason if verdict is not None else NOT_LISTED
        return await self._asked(decision, rule, why)

    def _verdict(self, name: str, port: int) -> Verdict | None:
        """Return the strictest approval rule about a destination: the operator's and the running turns'."""
        policies = [policy for caller in self._callers for policy in caller.policies if policy.rules]
        if not policies and not self._rules.rules:  # most often
            return None
        return strictest_about_host([self._rules, *policies], name, port)

    async def _asked(self, decision: NetworkDecision, rule: NetworkRule, why: str) -> NetworkDecision:
        """Return the decision of a person about a destination that the operator's policy allows."""
        caller = next((each for each in self._callers if each.asker is not None), None)
        if caller is None or caller.asker is None:
            return _refused(decision, UNATTENDED, "policy")
        name, port, asker = decision.name, decision.port, caller.asker
        program = program_of(caller.command)
        question = NetworkQuestion(self._id, name, port, why, caller.command, program)

        async def ask() -> NetworkAnswer:
            answer = await asker.ask(question)
            if answer.allow and answer.scope == "container":
                await self._grant(decision, rule, answer.by)
            return answer

        answer = await self._questions.answer(name, port, ask, caller)
        if not answer.allow:
            return _refused(decision, answer.reason or DENIED, answer.by)
        once = decision.rule is None and answer.scope == "once"
        return replace(decision, rule=rule, reason=answer.reason or ALLOWED, by=answer.by, once=once)

    async def _grant(self, decision: NetworkDecision, rule: NetworkRule, by: str) -> None:
        """Allow a destination for the container from now on."""
        policy = await self._kept.allow(rule, by)
        self._granted.add((decision.name, decision.port))
        self._version += 1
        self.broker.policy = policy

    def take_used(self, response_id: str) -> NetworkUse:
        """Return what the connections of a turn have used that ended so far, once."""
        return self._turns.take(response_id)

    def take_refusals(self) -> Sequence[str]:
        """Return a line for each destination that was refused since the last call."""
        return self._refusals.take()

    def _record(self, record: ConnectionRecord) -> None:
        caller = _CALLER.get()
        if record.decision == "refused":
            self._refusals.add(record.name, record.port, record.reason)
        elif record.failure is not None and record.address is None:  # it was never made
            self._refusals.failed(record.name, record.port, record.failure)
        if caller is not None:
            self._turns.add(caller.response, record)
        usual = record.decision == "allowed" and record.failure is None
        write = self._audit.write_soon if usual else self._audit.write
        write(
            "connection", container=self._id, response=caller.response if caller else None,
            call=caller.call if caller else None, command=record.command or None,
            name=record.name, address=record.address, port=record.port, decision=record.decision,
            rule=record.rule, reason=record.reason, by=record.by, failure=record.failure,
            sent=record.sent, received=record.received, seconds=record.seconds,
        )  # fmt: skip


def _refused(decision: NetworkDecision, reason: str, by: str) -> NetworkDecision:
    """Return the refusal. The reason may come from a client, and is shown inside: it becomes one line."""
    line = "".join(each if each.isprintable() else " " for each in reason[:_LONGEST_REASON])
    return replace(decision, rule=None, reason=" ".join(line.split()).rstrip("."), by=by)


def one_line(command: str) -> str:
    """Return a command on one line of at most 200 characters, to show beside its connections."""
    line = "".join(each if each.isprintable() else " " for each in command[: 4 * _LONGEST_COMMAND])
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST_COMMAND else line[: _LONGEST_COMMAND - 1] + "…"


_OTHERS = frozenset(("cd", "echo", "export", "ls", "mkdir", "printf", "set", "sleep", "touch"))
"""Words that begin commands which do not connect, in the usual lines of an agent."""


def program_of(command: str) -> str:
    """Guess which program of a command connects: "" if it is not plain, or if several could be meant."""
    plain = plain_commands(command) or ()
    names = {words[0].rpartition("/")[2] for words in plain} - _OTHERS
    name = names.pop() if len(names) == 1 else ""
    return name if re.fullmatch(r"[A-Za-z0-9_.+-]{1,64}", name) else ""
