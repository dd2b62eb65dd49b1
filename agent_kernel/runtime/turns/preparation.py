"""Prepares a request as a turn that can run. Every refusal happens here, before the first event."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from openai.types.responses import Response
from openai.types.responses.response import Conversation

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.models.base import Model, PassesItems, check_request
from agent_kernel.models.catalogue import Models
from agent_kernel.models.conversation import unread
from agent_kernel.policy.rules import Policy
from agent_kernel.protocol import ids
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.broken import ResumePoint
from agent_kernel.protocol.calls import json_key
from agent_kernel.protocol.response import new_response
from agent_kernel.protocol.restored import RestoredAssembler
from agent_kernel.runtime.approvals.approvals import answered_elsewhere, approvals_of, with_calls
from agent_kernel.runtime.containers.attachment import BACK_FROM_DEATH
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.containers.skills.equipment import Equipment
from agent_kernel.runtime.containers.skills.skills import (
    Skill,
    instructions_with,
    local_notes,
    with_mounts,
)
from agent_kernel.runtime.included import with_hidden_fields
from agent_kernel.runtime.late_ends import LateEnds
from agent_kernel.runtime.network.policy import FIELD as NETWORK_FIELD
from agent_kernel.runtime.network.policy import with_network
from agent_kernel.runtime.turns.conversations import LocalConversations
from agent_kernel.runtime.turns.history import Histories, History, Json, container_in, join
from agent_kernel.runtime.turns.input_items import message, output_of
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.request import TurnRequest, continued, read_file_ids
from agent_kernel.runtime.turns.turn import Record, Turn
from agent_kernel.runtime.uploads.attachments import Attachments, attached
from agent_kernel.runtime.uploads.input_files import InputFiles
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.store.records import ResponseRow
from agent_kernel.store.rows import Rows
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.document_search.search import DocumentSearch
from agent_kernel.tools.file_search.tool import check_stores
from agent_kernel.tools.one_item import sources_in
from agent_kernel.tools.passed import check_passed
from agent_kernel.tools.web_search.access import WebAccess
from agent_kernel.tools.web_search.offered import searchable

Memory = Mapping[str, History]
"""Histories after unstored responses, by the response's id."""

CONTAINER_LOST = (
    "The container of the earlier turns no longer exists. Commands now run in a new, empty one: files, shell"
    " and Python variables and background processes of earlier turns are gone."
)

CONTAINER_BACK = (
    "The container had expired and was restored from its checkpoint: files, installed packages, shell"
    " variables and the working directory are as they were; background processes and Python"
    " variables of earlier turns are gone."
)

CONTAINER_PUT_BACK = (
    "The container was put back to an earlier state: files, installed packages, shell variables and the"
    " working directory are as they were then; background processes have ended."
)

_BACK = {"expired": CONTAINER_BACK, "put_back": CONTAINER_PUT_BACK}
"""What the model is told, by what the container was brought back from."""


@dataclass(frozen=True)
class TurnParts:
    """The parts for preparing turns. `owner` names this process, `approval` is the operator's policy."""

    models: Models
    store: Rows
    containers: LocalContainers
    equipment: Equipment
    conversations: LocalConversations
    files: LocalFiles
    attachments: Attachments
    owner: str
    approval: Policy = field(default_factory=Policy)
    documents: DocumentSearch | None = None
    web: WebAccess | None = None
    late: LateEnds = field(default_factory=LateEnds)


class Preparation:
    """Prepares turns from requests."""

    def __init__(self, parts: TurnParts) -> None:
        self._models = parts.models
        self._store = parts.store
        self._histories = Histories(parts.store)
        self._containers = parts.containers
        self._conversations = parts.conversations
        self._files = parts.files
        self.attachments = parts.attachments
        self._input_files = InputFiles(parts.files, parts.containers)
        self._owner = parts.owner
        self._late = parts.late
        self._approval = parts.approval
        self._equipment = parts.equipment
        self._documents = parts.documents
        self._web = parts.web

    async def check_input(self, turn: TurnRequest, model: Model) -> None:
        """Check the new input and the settings. Raises `InvalidRequest` for what the model cannot get."""
        if not isinstance(model, PassesItems):
            check_passed(turn.tools, turn.model or self._models.default or "")
        await self.attachments.check(turn.input)
        check_request(model, turn.input, turn.settings)

    async def run(
        self,
        turn: TurnRequest,
        interrupt: Interrupt | None = None,
        memory: Memory | None = None,
        *,
        resumed: bool = False,
    ) -> Turn:
        """Resolve everything that the request names. Raises as `Runtime.respond`.

        `resumed`: the request was accepted by another process. Files that were deleted since do not end it.
        """
        model, upstream_name = self.model(turn)
        left_out: Sequence[str] = ()
        if not resumed:
            await self.check_input(turn, model)
            await check_stores(turn.tools, self._documents)
            tools, left_out = searchable(turn.tools, self._web, turn.request.get("client_metadata"))
            turn = replace(turn, tools=tools)
        history = await self.history(turn, memory)
        items = await self.resolved(await with_calls(turn.input, self._store), history)
        history = history.beside(items)
        turn = replace(continued(turn, history.recent), input=await with_hidden_fields(items, self._store))
        approvals = await approvals_of(
            turn,
            model,
            history.recent,
            self._store,
            self._containers.audit,
            self._approval,
            here=memory is not None,
        )
        to_come = [json_key(each.call) for each in approvals.answers if each.runs]
        elsewhere = await answered_elsewhere(history.recent, self._store)
        joined, settled = join(history, turn.input, to_come, elsewhere), history.settled.length
        # for the model only, not for the store
        conversation = await self.attachments.filled(joined, in_container=turn.input_files, settled=settled)
        earlier = history.container_id or container_in(turn.input)
        container_id, is_new = await self._container(turn, earlier, joined)
        new = is_new and earlier is not None
        notices = await self._tell_of_losses(turn, conversation, container_id, new=new)
        turn = await self._told(turn, container_id)
        response = new_response(
            turn.request,
            id=ids.response_id(),
            model=turn.model or self._models.default or upstream_name,
            tools=turn.tools_shown(container_id),
            created_at=time.time(),
        )
        if turn.conversation_id is not None:
            response = response.model_copy(update={"conversation": Conversation(id=turn.conversation_id)})
        if turn.approval is not None:  # a client that relies on it must see that it was understood
            response = response.model_copy(update={"agent_kernel": {"approval": turn.approval.to_json()}})
        assembler = Assembler(response)
        assembler.container_id = container_id
        assembler.citations.search((*history.settled.sources, *sources_in(joined[settled:])))
        for line in notices:
            assembler.notice(line)
        if kinds := ", ".join(unread(conversation[settled:], model, upstream_name)):
            assembler.notice(f"The model cannot read these items, so it does not get them: {kinds}.")
        if left_out:
            assembler.notice(f"Not available here, so not offered to the model: {', '.join(left_out)}.")
        return Turn(
            turn,
            model,
            upstream_name,
            history,
            conversation,
            container_id,
            assembler,
            Record(self._store, self._histories, self._owner, self._late),
            approvals,
            interrupt or Interrupt(),
        )

    async def resumed(
        self, turn: TurnRequest, row: ResponseRow, point: ResumePoint, interrupt: Interrupt
    ) -> Turn:
        """Prepare a turn that continues where another process stopped; see `run`."""
        run = await self.run(turn, interrupt, resumed=True)
        if point.calls and run.container_id is not None:  # without its container no command can be rejoined
            async with self._containers.use(run.container_id):
                pass
        response = Response.construct(**{**row.response, "output": []})
        to_run = {json_key(each.call) for each in point.calls}
        assembler = RestoredAssembler(response, point)
        assembler.container_id = run.container_id
        assembler.citations.search(sources_in([*run.conversation, *point.told]))
        return replace(
            run,
            assembler=assembler,
            conversation=[*run.conversation, *point.told],
            produced=dict(point.items),
            calls_made=sum(
                catalogue().of_call(item["type"]) is not None and json_key(item) not in to_run
                for item in point.told
            ),
            rejoins=point.calls,
        )

    def model(self, turn: TurnRequest) -> tuple[Model, str]:
        """Return the model and the upstream's name for it. Raises `InvalidRequest` for an unknown model."""
        try:
            return self._models.resolve(turn.model)
        except ConfigurationError as error:
            if not turn.model or turn.model == self._models.default:
                raise
            raise InvalidRequest(
                error.message, hint=error.hint, param="model", code="model_not_found"
            ) from error

    async def history(self, turn: TurnRequest, memory: Memory | None = None) -> History:
        """Return what the turn continues. Raises `InvalidRequest`, `NotFound`."""
        if turn.conversation_id is not None:
            return await self._conversations.history(turn.conversation_id)
        if memory is not None and turn.previous_id is not None and turn.previous_id in memory:
            return memory[turn.previous_id]
        return await self._histories.of(turn.previous_id)

    async def resolved(self, items: Sequence[Json], history: History) -> Sequence[Json]:
        """Return the items with each reference replaced by its item, unless the history has that anyway.

        Raises `InvalidRequest` for a reference to nothing.
        """
        if not any(item["type"] == "item_reference" for item in items):
            return items
        known = {item.get("id") for item in history.items}
        resolved: list[Json] = []
        for item in items:
            if item["type"] != "item_reference":
                resolved.append(item)
            elif item["id"] not in known:
                resolved.append(await self._item(item["id"]))
        return resolved

    async def _item(self, item_id: str) -> Json:
        item = await self._store.item(item_id)
        if item is None:
            raise InvalidRequest(
                f"Item with id '{item_id}' not found.",
                hint="Items of responses with store false are not kept: send the item itself.",
                param="input",
            )
        return item

    async def _told(self, turn: TurnRequest, container_id: str | None) -> TurnRequest:
        """Return the turn with the list of skills for its model, without inline skills and unserved tools."""
        request = turn.request
        if request.get("tools"):  # those that are not served may carry secrets
            request = {**request, "tools": turn.tools_shown(container_id)}
        if turn.environment is None:
            return replace(turn, request=request)
        instructions = turn.instructions
        if container_id is None:
            notes = local_notes(**_asked_skills(turn, local=True))
        else:
            notes = await self._equipment.of(container_id)
            instructions = with_mounts(instructions, await self._containers.mounted(container_id))
            instructions = with_network(instructions, await self._containers.network_policy(container_id))
        return replace(turn, request=request, instructions=instructions_with(instructions, notes))

    async def _container(
        self, turn: TurnRequest, earlier: str | None, conversation: Sequence[Json]
    ) -> tuple[str | None, bool]:
        """Return the turn's container and whether it is new. `earlier` is the container of earlier turns."""
        if turn.environment is None or turn.environment.kind == "local":
            return None, False
        files = attached(conversation) if turn.input_files else ()
        if turn.environment.container_id is not None:
            await self._input_files.put(turn.environment.container_id, (), files)
            return turn.environment.container_id, False
        skills = await self._equipment.read(**_asked_skills(turn))
        if earlier is not None and await self._containers.is_alive(earlier):
            await self._apply_network(earlier, turn.environment.params or {})
            await self._equipment.put(earlier, skills)
            if turn.input_files:
                await self._input_files.put(earlier, turn.file_ids, files)
            return earlier, False
        params = {**(turn.environment.params or {}), "name": "auto", "skills": None}
        return await self.container(params, skills, attached=files, prefixed=turn.input_files), True

    async def _tell_of_losses(
        self, turn: TurnRequest, conversation: list[Json], container_id: str | None, *, new: bool
    ) -> list[str]:
        """Tell the model what of earlier turns is gone, if their container is. Return notices for the user.

        `new`: the turn has another container than the turns before.
        """
        back = None if new or container_id is None else await self._containers.was_brought_back(container_id)
        if back is None and not new:
            return []
        lost: list[str] = []
        for tool in (entry.tool for entry in turn.tools if entry.tool.in_sandbox and not entry.by_client):
            if new or container_id is None:
                found = await tool.lost(conversation, None)
            else:
                async with self._containers.use(container_id) as channel:
                    found = await tool.lost(conversation, channel)
            lost += [found] if found is not None else []
        if back == "put_back" and not new and not lost:  # the conversation went back too
            return []
        what = CONTAINER_LOST if new else _BACK.get(str(back), BACK_FROM_DEATH)
        conversation.insert(_place(conversation, turn), message("developer", " ".join([what, *lost])))
        return lost if new else [BACK_FROM_DEATH] if back == "dead" else []

    async def _apply_network(self, container_id: str, params: Mapping[str, Any]) -> None:
        """Give a container the policy of the request, if the request has one."""
        asked = params.get(NETWORK_FIELD)
        if asked is not None and asked != await self._containers.network_policy(container_id):
            await self._containers.set_network(container_id, asked, again=True)

    async def container(
        self,
        params: Mapping[str, Any],
        skills: Sequence[Skill] = (),
        attached: Sequence[str] = (),
        *,
        prefixed: bool = False,
    ) -> str:
        """Make a container with the uploaded files that `file_ids` names, and the skills, also of `params`.

        `prefixed` puts the id of each file before its name, as OpenAI's `code_interpreter` has it, and adds
        the files that are `attached` to the conversation. A failure leaves no container behind.
        """
        skills = [*skills, *await self._equipment.read(params.get("skills"), "skills")]
        file_ids = read_file_ids(params)
        await self._files.check(tuple(file_ids))
        container = await self._containers.create({**params, "file_ids": None, "skills": None})
        try:
            if prefixed:
                await self._input_files.put(container.id, file_ids, attached)
            for file_id in () if prefixed else file_ids:
                await self._files.copy(file_id, container.id, self._containers.files)
            await self._equipment.put(container.id, skills)
        except BaseException:
            await self._containers.delete(container.id)
            raise
        return container.id


def _asked_skills(turn: TurnRequest, *, local: bool = False) -> dict[str, Any]:
    """Return the skills of a turn's environment of this kind, unparsed, and their place in the request."""
    shell = turn.environment
    if shell is None or shell.params is None or (shell.kind == "local") is not local:
        return {"given": None, "where": ""}
    return {"given": shell.params.get("skills"), "where": f"{shell.where}.skills"}


def _place(conversation: Sequence[Json], turn: TurnRequest) -> int:
    """Return where a message for the model belongs: before the new input, but behind outputs of calls."""
    place, outputs = len(conversation) - len(turn.input), frozenset(output_of().values())
    while place < len(conversation) and conversation[place]["type"] in outputs:
        place += 1
    return place
