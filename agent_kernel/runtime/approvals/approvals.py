"""Approvals in one turn: which calls run, which are refused, which wait, and what an answer leads to.

A call that a policy asks about is not run. It waits, its request is the last item of the response, and the
response is completed. A turn that answers it claims the request in the store before anything is run: of
several answers one is taken, in whatever process, branch or time. A claim is never given back, so that
nothing runs twice; a turn that dies with it leaves a call that was not carried out.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from openai.types.responses import ResponseFunctionShellToolCall

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.base import Model
from agent_kernel.models.direct import DirectModel
from agent_kernel.policy.rules import Policy, Verdict, strictest
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.runtime.approvals.items import (
    DENIED,
    RESPONSE,
    Answer,
    Json,
    answered_already,
    answers,
    calls_left_out,
    not_found,
    request_item,
    undecided,
)
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.turns.history import History
from agent_kernel.runtime.turns.request import TurnRequest
from agent_kernel.store.rows import Rows
from agent_kernel.tools.shell import CommandOutput, CommandResult

NOT_RUN = 126
"""The exit code of a command that was refused: the shell's own for what may not be executed."""

UNSTORED = (
    "it needs an approval, and with store false the response ends before anybody could give one; with store"
    " true, or over a WebSocket, it can wait."
)

OTHER_CONTAINER = "it was approved for a container that is gone, or another than this turn's"

Pieces = AsyncGenerator[CommandOutput | CommandResult, None]


async def read_answers(turn: TurnRequest, history: History, store: Rows) -> list[Answer]:
    """The answers that a turn gives. Raises `InvalidRequest`, before anything is changed."""
    given = answers(turn.input, history.items)
    if not given:
        return []
    remembered = {item.get("id") for item in history.items}
    for each in given:  # one that was only sent again must be ours all the same
        if each.request_id not in remembered and await store.item(each.request_id) is None:
            raise not_found(each.request_id)
    if turn.shell is None or turn.shell.kind == "local":
        raise InvalidRequest(
            "An approval is answered, but the shell that the command would run in is not among the tools.",
            hint="Send the same tools as before.",
            param="tools",
        )
    if not turn.generate:
        raise InvalidRequest("An approval cannot be answered with generate false.", param="generate")
    return given


async def with_calls(given: Sequence[Json], store: Rows) -> Sequence[Json]:
    """The input with the call before each request that was sent without it, as it was stored."""
    left_out = calls_left_out(given)
    if not left_out:
        return given
    items: list[Json] = []
    for item in given:
        stored = await store.item(left_out[item["id"]]) if item.get("id") in left_out else None
        if stored is not None and stored["type"] == "shell_call":
            items.append(stored)
        items.append(item)
    return items


async def answered_elsewhere(history: History, store: Rows) -> set[str]:
    """Requests that were answered in a turn that this conversation does not have: a failed one, a branch."""
    waiting = undecided(history.items)
    return await store.answered_approvals(waiting) if waiting else set()


@dataclass
class Approvals:
    """Of one turn. `policies` are the operator's and the request's. `can_wait`: an answer can come."""

    policies: Sequence[Policy]
    store: Rows
    audit: AuditLog
    answers: Sequence[Answer] = ()
    can_wait: bool = True
    by_person: bool = False
    """The commands are the caller's own words: nobody has to be asked what they want."""
    waiting: list[tuple[ResponseFunctionShellToolCall, Json]] = field(default_factory=list)
    _claimed: bool = False

    async def claim(self, response_id: str, assembler: Assembler) -> None:
        """Take the answers, once and for all. Raises `InvalidRequest` if one was given before."""
        if self._claimed or not self.answers:
            return
        taken = await self.store.claim_approvals([each.request_id for each in self.answers], response_id)
        if taken is not None:
            raise answered_already(taken)
        self._claimed = True
        for answer in self.answers:
            assembler.adopt(answer.call)
            self.audit.write(
                "approval",
                response=response_id,
                call=answer.call.call_id,
                approval=answer.request_id,
                by=_who(self.store),
                approved=answer.approve,
                commands=tuple(answer.call.action.commands) if answer.approve else None,
                edited=answer.edited if answer.approve else None,
                reason=answer.reason,
            )

    def refusal(self, answer: Answer, container_id: str) -> str | None:
        """Why a call that was answered is not run after all; None if it is."""
        if not answer.approve:
            return f"{DENIED.rstrip('.')}: {answer.reason}" if answer.reason else DENIED
        environment = answer.call.environment
        if getattr(environment, "container_id", None) != container_id:
            return f"Not run: {OTHER_CONTAINER}."
        verdict = self._verdict(answer.call)
        return f"Not run: {verdict.reason}" if verdict.action == "deny" else None

    def decide(self, response_id: str, call: ResponseFunctionShellToolCall) -> str | None:
        """What becomes of a new call: a refusal in words, None if it runs or (see `waits`) has to wait."""
        verdict = self._verdict(call)
        if verdict.action == "ask" and not self.by_person:
            if self.can_wait:
                item = request_item(call, verdict.reason)
                self.waiting.append((call, item))
                self._write("approval.request", response_id, call, verdict, approval=str(item["id"]))
                return None
            verdict = Verdict("deny", f"{UNSTORED} {verdict.reason}")
        if verdict.action == "deny":
            self._write("approval.denied", response_id, call, verdict)
            return f"Not run: {verdict.reason}"
        return None

    def waits(self, call: ResponseFunctionShellToolCall) -> bool:
        """Whether the call was asked about in this turn."""
        return any(each.call_id == call.call_id for each, _ in self.waiting)

    def required(self) -> dict[str, Json]:
        """What the client still owes for each call that waits, by call id, as a stub of its input item."""
        return {
            call.call_id: {"type": RESPONSE, "approval_request_id": item["id"]} for call, item in self.waiting
        }

    def _verdict(self, call: ResponseFunctionShellToolCall) -> Verdict:
        return strictest(self.policies, call.action.commands)

    def _write(
        self,
        event: str,
        response_id: str,
        call: ResponseFunctionShellToolCall,
        verdict: Verdict,
        approval: str | None = None,
    ) -> None:
        self.audit.write(
            event,
            response=response_id,
            call=call.call_id,
            approval=approval,
            commands=tuple(call.action.commands),
            reason=verdict.reason,
        )


def _who(store: Rows) -> str | None:
    return store.tenant or None


async def approvals_of(
    turn: TurnRequest,
    model: Model,
    history: History,
    store: Rows,
    audit: AuditLog,
    operator: Policy,
    *,
    here: bool,
) -> Approvals:
    """What holds in a turn. `here`: its caller is a connection that remembers what is not stored.

    Raises `InvalidRequest` for answers that cannot be taken.
    """
    return Approvals(
        policies=[operator, *([turn.approval] if turn.approval is not None else [])],
        store=store,
        audit=audit,
        answers=await read_answers(turn, history, store),
        can_wait=turn.store or turn.conversation_id is not None or here,
        by_person=isinstance(model, DirectModel),
    )


async def told(answer: Answer | None, pieces: Pieces) -> Pieces:
    """The pieces of a call; where a person changed its commands, the last one ends by saying so."""
    ran = list(answer.call.action.commands) if answer is not None and answer.edited else None
    async with aclosing(pieces):
        async for piece in pieces:
            if ran is None or not isinstance(piece, CommandResult) or piece.command_index < len(ran) - 1:
                yield piece
                continue
            what = json.dumps(ran, ensure_ascii=False)
            line = f"[The person changed this before it ran. What ran: {what}]\n"
            words = f"\n{line}" if piece.stderr and not piece.stderr.endswith("\n") else line
            yield CommandOutput(piece.command_index, stderr=words)
            yield replace(piece, stderr=piece.stderr + words)
