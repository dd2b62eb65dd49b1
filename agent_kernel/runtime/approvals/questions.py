"""Questions of a running turn: shown as approval items, answered while the turn goes on.

A question is the standard's `mcp_approval_request` with our label, and the name `network` if it is about a
connection; see `elicitations` for the others. It names no call, so the answers to calls (`items`) do not find
it. Its end is an `mcp_approval_response` in the output of the same response, also if it was withdrawn.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.runtime.approvals.items import NETWORK, REQUEST, RESPONSE, SERVER_LABEL, check_answer
from agent_kernel.runtime.network.egress import DENIED
from agent_kernel.runtime.network.questions import NetworkAnswer, NetworkQuestion, Scope
from agent_kernel.runtime.observe.audit import AuditLog

Json = Mapping[str, Any]

WITHDRAWN = "withdrawn: the connection or its command ended first"
PERSON = "person"
"""Who answered, if the key has no name."""

SCOPES = ("once", "container")

T = TypeVar("T")

Emit = Callable[[Json], Awaitable[None]]
"""Adds a finished item to the response's output."""

Read = Callable[[Json, str], T]
"""Reads the answer to a question; the second argument is who gave it. Raises `InvalidRequest`."""


class OpenQuestions:
    """The open questions of one tenant's running turns in this process, by the ids of their items."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._open: dict[str, tuple[str, Read[Any], asyncio.Future[Any]]] = {}

    @contextmanager
    def opened(self, response_id: str, request_id: str, read: Read[T]) -> Iterator[asyncio.Future[T]]:
        """Yield the future answer to a question; it can be answered only inside."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._open[request_id] = response_id, read, answer
        try:
            yield answer
        finally:
            del self._open[request_id]

    def asks(self, response_id: str) -> bool:
        """Return whether a turn has an open question."""
        return any(asker == response_id for asker, _, _ in self._open.values())

    def answer(self, response_id: str, given: Json) -> None:
        """Answer a question with an `mcp_approval_response`. Raises `InvalidRequest`."""
        _check(given)
        asker, read, answer = self._open.get(given["approval_request_id"], ("", None, None))
        if read is None or answer is None or asker != response_id or answer.done():
            raise InvalidRequest(
                f"No open question '{given['approval_request_id']}' was found in this running response.",
                hint="It may have been answered, or its connection has ended.",
                param="approval_request_id",
                code="approval_not_open",
            )
        answer.set_result(read(given, self._tenant or PERSON))


def _check(given: Json) -> None:
    if given.get("type", RESPONSE) != RESPONSE:
        raise InvalidRequest(f"type must be {RESPONSE}.", param="type")
    check_answer(given, "answer")
    ours = given.get("agent_kernel") or {}
    if ours.get("commands") is not None:
        raise InvalidRequest("A question of a running turn has no commands.", param="agent_kernel.commands")
    if ours.get("scope") not in (None, *SCOPES):
        raise InvalidRequest(f"scope must be one of {', '.join(SCOPES)}.", param="agent_kernel.scope")


def read_network_answer(given: Json, by: str) -> NetworkAnswer:
    """Read the checked answer to a question about the network."""
    ours = given.get("agent_kernel") or {}
    reason = " ".join((given.get("reason") or "").split())
    if given["approve"]:
        scope: Scope = "container" if ours.get("scope") == "container" else "once"
        return NetworkAnswer(True, by, scope)
    return NetworkAnswer(False, by, reason=f"{DENIED}: {reason}" if reason else DENIED)


class TurnQuestions:
    """Asks the questions of one turn; a `NetworkAsker`.

    A denial holds for the rest of the turn, so that a program which tries again asks nobody again.
    """

    def __init__(self, response_id: str, emit: Emit, questions: OpenQuestions, audit: AuditLog) -> None:
        self._response = response_id
        self._emit = emit
        self._questions = questions
        self._audit = audit
        self._denied: dict[tuple[str, int], NetworkAnswer] = {}
        self._asking: set[asyncio.Task[Any]] = set()
        self._ended = False

    async def ask(self, question: NetworkQuestion) -> NetworkAnswer:
        """See `NetworkAsker.ask`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine runs in a task)
        self._asking.add(task)
        try:
            return await self._ask(question)
        finally:
            self._asking.discard(task)

    async def _ask(self, question: NetworkQuestion) -> NetworkAnswer:
        destination = question.name, question.port
        if destination in self._denied:
            return self._denied[destination]
        item = question_item(question)

        def end(given: NetworkAnswer | None) -> Json:
            if given is None:
                self._write("network.answer", question, item, decision="withdrawn")
                return answer_item(item["id"], NetworkAnswer(False, "policy", reason=WITHDRAWN))
            if not given.allow:
                self._denied[destination] = given
            decision = given.scope if given.allow else "denied"
            reason = given.reason or None
            self._write("network.answer", question, item, decision=decision, by=given.by, reason=reason)
            return answer_item(item["id"], given)

        self._write("network.request", question, item)
        return await self.put(item, read_network_answer, end)

    async def put(self, item: Json, read: Read[T], end: Callable[[T | None], Json]) -> T:
        """Show a question and return its answer. `end` makes the item that shows it; None: withdrawn.

        Cancelling withdraws the question.
        """
        with self._questions.opened(self._response, item["id"], read) as answer:
            try:
                await self._show(item)
                given = await answer
            except asyncio.CancelledError:
                await self._show(end(None))
                raise
        await self._show(end(given))
        return given

    async def _show(self, item: Json) -> None:
        if not self._ended:
            await self._emit(item)

    async def settled(self) -> None:
        """Return when the ends of all questions are shown: the calls that led to them have ended."""
        while self._asking:
            await asyncio.wait(self._asking)

    def close(self) -> None:
        """Show nothing more: the turn ends."""
        self._ended = True

    def write(self, event: str, item: Json, **fields: Any) -> None:
        """Write a line about a question to the audit log."""
        self._audit.write(event, response=self._response, approval=item["id"], **fields)

    def _write(self, event: str, question: NetworkQuestion, item: Json, **more: Any) -> None:
        about = {"name": question.name, "port": question.port, "command": question.command or None}
        self.write(event, item, container=question.container, **about, **more)


def question_item(question: NetworkQuestion) -> Json:
    """Return the item that asks about a destination."""
    asked = {
        "host": question.name,
        "port": question.port,
        "program": question.program,
        "command": question.command,
        "reason": question.reason,
    }
    return {
        "id": ids.item_id(REQUEST),
        "type": REQUEST,
        "server_label": SERVER_LABEL,
        "name": NETWORK,
        "arguments": json.dumps(asked, ensure_ascii=False),
        "agent_kernel": {"container_id": question.container},
    }


def answer_item(request_id: str, answer: NetworkAnswer) -> Json:
    """Return the item that shows an answer."""
    return {
        "id": ids.item_id(RESPONSE),
        "type": RESPONSE,
        "approval_request_id": request_id,
        "approve": answer.allow,
        "reason": answer.reason or None,
        "agent_kernel": {"by": answer.by, "scope": answer.scope if answer.allow else None},
    }
