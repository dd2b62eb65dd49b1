"""Approvals in one turn: which calls run, which are refused, which wait, and what an answer leads to.

A call that needs approval waits. Its request is the last item of the response, and the response is completed.
A turn that answers it claims the request in the store before anything runs. Of several answers, from any
process or branch, only the first is accepted. A claim is never released, so nothing runs twice: if the turn
dies, the call is not carried out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent_kernel.errors import InvalidRequest
from agent_kernel.models.base import Model
from agent_kernel.models.direct import DirectModel
from agent_kernel.policy.rules import STRICTNESS, Policy, Verdict, after_outside, strictest
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.calls import json_key
from agent_kernel.protocol.items import item_of
from agent_kernel.runtime.approvals.items import (
    RESPONSE,
    Answer,
    Json,
    answered_already,
    answers,
    calls_left_out,
    denied,
    not_found,
    request_item,
    undecided,
)
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.store.rows import Rows
from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.outside import sources_outside

UNSTORED = (
    "it needs an approval, and with store false the response ends before one can be given; with store"
    " true, or over a WebSocket, it can wait."
)

OUTSIDE = "The policy {} calls with effects after text from outside was read"
"""The reason of a verdict about what the conversation has read."""

OTHER_CONTAINER = "it was approved for a container that is gone, or another than this turn's"


class Approvable(Protocol):
    """The parts of a checked request that approvals depend on."""

    @property
    def input(self) -> Sequence[Json]:
        """The input items."""
        ...

    @property
    def tools(self) -> Sequence[ToolEntry]:
        """The tools that the request offers."""
        ...

    @property
    def generate(self) -> bool:
        """Whether the model is asked."""
        ...

    @property
    def store(self) -> bool:
        """Whether the response is stored."""
        ...

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the response is added to."""
        ...

    @property
    def approval(self) -> Policy | None:
        """The request's own policy; the operator's applies as well."""
        ...


async def read_answers(turn: Approvable, earlier: Sequence[Json], store: Rows) -> list[Answer]:
    """Return the answers in a turn's input, to requests there or among the `earlier` items of its chain.

    Raises `InvalidRequest` before anything is changed.
    """
    given = answers(turn.input, earlier)
    if not given:
        return []
    remembered = {item.get("id") for item in earlier}
    for each in given:  # one that was only sent again must be ours, unless it holds the whole call
        if each.tool.waits_unshown:
            continue
        if each.request_id not in remembered and await store.item(each.request_id) is None:
            raise not_found(each.request_id)
    here = {entry.tool for entry in turn.tools if not entry.by_client}
    # an answer to another server's request can be for a tool that this one is not asked for
    given = [each for each in given if each.tool in here or not each.tool.waits_unshown]
    for each in given:
        if each.tool not in here:
            raise InvalidRequest(
                f"An approval is answered, but the {each.tool.type} that would run is not among the tools.",
                hint="Send the same tools as before.",
                param="tools",
            )
    if not turn.generate:
        raise InvalidRequest("An approval cannot be answered with generate false.", param="generate")
    return given


async def with_calls(given: Sequence[Json], store: Rows) -> Sequence[Json]:
    """Return the input with the stored call put before each request that was sent without it."""
    left_out = calls_left_out(given)
    if not left_out:
        return given
    items: list[Json] = []
    for item in given:
        stored = await store.item(left_out[item["id"]]) if item.get("id") in left_out else None
        if stored is not None and catalogue().of_call(stored["type"]) is not None:
            items.append(stored)
        items.append(item)
    return items


async def answered_elsewhere(earlier: Sequence[Json], store: Rows) -> set[str]:
    """Return the requests answered outside this conversation: in a failed turn, or in another branch."""
    waiting = undecided(earlier)
    return await store.answered_approvals(waiting) if waiting else set()


@dataclass
class Approvals:
    """The approvals of one turn. `policies` are the operator's and the request's.

    `can_wait` says whether an answer can arrive later.
    """

    policies: Sequence[Policy]
    store: Rows
    audit: AuditLog
    answers: Sequence[Answer] = ()
    can_wait: bool = True
    by_person: bool = False
    """Run the call without asking: a person wrote the commands."""
    conversation: Sequence[Json] = ()
    """The conversation so far, which grows with the turn."""
    waiting: list[tuple[str, Json]] = field(default_factory=list)
    _claimed: bool = False

    async def claim(self, response_id: str, assembler: Assembler) -> None:
        """Claim the answers, which is final. Raises `InvalidRequest` if one was given before."""
        if self._claimed or not self.answers:
            return
        taken = await self.store.claim_approvals([each.request_id for each in self.answers], response_id)
        if taken is not None:
            raise answered_already(taken)
        self._claimed = True
        for answer in self.answers:
            if not answer.tool.one_item:  # such a call gets a new item
                assembler.adopt(answer.tool, item_of(answer.call))
            self.audit.write(
                "approval",
                response=response_id,
                call=json_key(answer.call),
                approval=answer.request_id,
                by=_who(self.store),
                approved=answer.approve,
                commands=_judged(answer.tool, answer.call) if answer.approve else None,
                edited=answer.edited if answer.approve else None,
                reason=answer.reason,
            )

    def refusal(self, answer: Answer, container_id: str | None) -> str | None:
        """Return why an approved call cannot run; None if it can."""
        if not answer.approve:
            return denied(answer.reason)
        if answer.tool.in_sandbox and answer.tool.container_of(answer.call) != container_id:
            return f"Not run: {OTHER_CONTAINER}."
        verdict = self._verdict(answer.tool, answer.call)
        return f"Not run: {verdict.reason}" if verdict.action == "deny" else None

    def asks(self, tool: Tool, call: Json, entry: ToolEntry | None) -> bool:
        """Return whether `decide` would let a new call wait."""
        waits = self.can_wait or tool.waits_unshown
        return waits and not self.by_person and self._verdict(tool, call, entry).action == "ask"

    def decide(self, response_id: str, tool: Tool, call: Json, entry: ToolEntry | None = None) -> str | None:
        """Return why a new call is refused; None if it runs or has to wait (see `waits`)."""
        verdict = self._verdict(tool, call, entry)
        if verdict.action == "ask" and not self.by_person:
            if self.can_wait or tool.waits_unshown:
                outside = self._after_outside(tool, call, entry).action == "ask"
                item = request_item(tool, call, verdict.reason, outside=outside)
                self.waiting.append((json_key(call), item))
                self._write("approval.request", response_id, (tool, call), verdict, approval=str(item["id"]))
                return None
            verdict = Verdict("deny", f"{UNSTORED} {verdict.reason}")
        if verdict.action == "deny":
            self._write("approval.denied", response_id, (tool, call), verdict)
            return f"Not run: {verdict.reason}"
        return None

    def waits(self, call_id: str) -> bool:
        """Return whether the call was asked about in this turn."""
        return any(each == call_id for each, _ in self.waiting)

    def required(self) -> dict[str, Json]:
        """Return a stub of the input item that each waiting call still needs, by call id."""
        return {
            call_id: {"type": RESPONSE, "approval_request_id": item["id"]} for call_id, item in self.waiting
        }

    def _verdict(self, tool: Tool, call: Json, entry: ToolEntry | None = None) -> Verdict:
        subject = tool.policy_subject(call)
        if subject is None:
            return Verdict("allow", "The tool does nothing that a policy is about.")
        verdict = max(
            strictest(self.policies, subject),
            self._after_outside(tool, call, entry),
            key=lambda each: STRICTNESS[each.action],
        )
        if entry is None or verdict.action != "allow":
            return verdict
        reason = tool.asks(entry, call, self.conversation)
        return verdict if reason is None else Verdict("ask", reason)

    def _after_outside(self, tool: Tool, call: Json, entry: ToolEntry | None) -> Verdict:
        """Return the verdict about a call for what the conversation has read, whoever wrote that."""
        action = after_outside(self.policies)
        found = [] if action == "allow" or self.by_person else list(sources_outside(self.conversation))
        if not found or not tool.has_effects(entry, call, self.conversation):
            return Verdict("allow", "No rule forbids it.")
        verb = "denies" if action == "deny" else "asks before"
        return Verdict(action, f"{OUTSIDE.format(verb)}: {', '.join(found)}.")

    def _write(
        self,
        event: str,
        response_id: str,
        made: tuple[Tool, Json],
        verdict: Verdict,
        approval: str | None = None,
    ) -> None:
        self.audit.write(
            event,
            response=response_id,
            call=json_key(made[1]),
            approval=approval,
            commands=_judged(*made),
            reason=verdict.reason,
        )


def _who(store: Rows) -> str | None:
    return store.tenant or None


async def approvals_of(
    turn: Approvable,
    model: Model,
    earlier: Sequence[Json],
    store: Rows,
    audit: AuditLog,
    operator: Policy,
    *,
    here: bool,
) -> Approvals:
    """Return the approvals of a turn. `here`: the caller's connection remembers unstored responses.

    Raises `InvalidRequest` for answers that cannot be taken.
    """
    return Approvals(
        policies=[operator, *([turn.approval] if turn.approval is not None else [])],
        store=store,
        audit=audit,
        answers=await read_answers(turn, earlier, store),
        can_wait=turn.store or turn.conversation_id is not None or here,
        by_person=isinstance(model, DirectModel) and model.by_person,
    )


def note_of(answer: Answer | None) -> str | None:
    """Return the line for the model about what ran in place of its call; None if the call itself ran."""
    if answer is None or not answer.edited:
        return None
    ran = json.dumps(list(_judged(answer.tool, answer.call)), ensure_ascii=False)
    return f"[The person changed this before it ran. What ran: {ran}]"


def _judged(tool: Tool, call: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(tool.policy_subject(call) or ())
