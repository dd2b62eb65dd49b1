"""The tool `code_interpreter`. Its session is in `session`, its items are in `drafts`."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.errors import InvalidRequest, SandboxFileError
from agent_kernel.protocol.calls import CallDone, CallItem, CallStart
from agent_kernel.protocol.items import to_json
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.code_interpreter.drafts import (
    CALL,
    CODE_DELTA,
    CODE_DONE,
    PREFIX,
    CodeCallDraft,
    CodeOutputDraft,
    RichResult,
    outputs_of,
)
from agent_kernel.tools.code_interpreter.names import last_names, living_names, names_in
from agent_kernel.tools.code_interpreter.questions import ask
from agent_kernel.tools.code_interpreter.session import CellResult, CodeCell, run_cell, told
from agent_kernel.tools.code_interpreter.spec import (
    LANGUAGES,
    LiveCode,
    check_options,
    language_of,
    parameters,
    parse_call,
    read_container,
    wants_outputs,
    without_secrets,
)
from agent_kernel.tools.context import LostCall, RejoinedCall, ToolContext
from agent_kernel.tools.one_item import NO_END, OneItemTool

Json = Mapping[str, Any]

log = logging.getLogger(__name__)

LOST = "The server ended while the code ran, so its result is not known."

ABANDON = 1.0
"""Seconds that a cell of a dead process may go on when its turn ends. Then it is interrupted."""


@dataclass(frozen=True)
class CodeLimits:
    """The limits of a call."""

    timeout: float = 120.0
    """Seconds that a cell may run."""
    characters: int = 50_000
    """Characters of its logs that are kept: their head and tail."""


@dataclass
class _Rejoin:
    """What the calls of one step know of the session after their process died; they run in order.

    `session` is set once one of them was found there: then a later one that is unknown there never began.
    """

    session: int = 0


class CodeInterpreter(OneItemTool):
    """The tool `{"type": "code_interpreter", "container": ...}`."""

    type = "code_interpreter"
    call_type = CALL
    id_prefix = PREFIX
    in_sandbox = True
    resumable = True
    optional_fields = {"code_interpreter_call.outputs": "outputs"}

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        check_options(spec, index)
        return ToolEntry(self, index, spec, read_container(spec.get("container"), index))

    def shown(self, entry: ToolEntry, container_id: str | None) -> Json:
        return without_secrets(entry.spec)

    # -- offering it, and reading a call

    def function_spec(self, entry: ToolEntry) -> Json:
        language = language_of(entry.spec)
        return {"description": LANGUAGES[language], "parameters": parameters(language)}

    def live_call(self, call_id: str) -> LiveCode:
        return LiveCode(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        return parse_call(self, call_id, arguments)

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CodeCallDraft:
        return CodeCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> CodeOutputDraft:
        return CodeOutputDraft(index, numbers, to_json(call))

    def check_item(self, item: Json, where: str) -> None:
        super().check_item(item, where)
        if not isinstance(item.get("code"), str | None):
            raise InvalidRequest(f"{where}.code must be a string.", param=f"{where}.code")

    # -- before it runs

    def policy_subject(self, call: Json) -> Sequence[str]:
        return [f"{self.type} {call['code']}"]

    def container_of(self, call: Json) -> str | None:
        container_id = call.get("container_id")
        return container_id if isinstance(container_id, str) else None

    def edited(self, call: Json, commands: Sequence[str]) -> Json:
        return {**call, "code": "\n".join(commands)}

    def refuse(self, call: Json, why: str) -> Iterator[CellResult]:
        yield told("unknown", why)

    # -- running it

    async def run(self, call: Json, context: ToolContext) -> None:
        limits = context.limits if isinstance(context.limits, CodeLimits) else CodeLimits()
        rejoin = context.rejoin if isinstance(context.rejoin, _Rejoin) else None
        rich = wants_outputs(context.spec)
        cell = CodeCell(
            context.name,
            call["code"],
            limits.timeout,
            limits.characters,
            known=rejoin is not None,
            language=language_of(context.spec),
            live=context.emit if rich else None,
            unfinished=lambda found: context.emit(RichResult(found) if rich else found),
        )
        async with context.sandbox() as channel:
            result = await run_cell(channel, cell)
            if rejoin is not None and result.status == "unknown":
                if rejoin.session == result.session:
                    result = await run_cell(channel, replace(cell, known=False))
                else:
                    result = told("unknown", LOST, result.session)
            elif rejoin is not None:
                rejoin.session = result.session
            if not rich:  # those who get all outputs need no files
                await _cite_pictures(channel, result, context)
        for line in (*context.refusals(), *([context.note] if context.note else [])):
            result = result.noted(line)
        await context.emit(RichResult(result) if rich else result)

    async def warm_up(self, channel: Channel) -> None:
        limits = CodeLimits()
        await run_cell(channel, CodeCell("warm-up", "", limits.timeout, limits.characters, known=True))

    def rejoin(self, calls: Sequence[LostCall], response_id: str, known: Set[str]) -> list[RejoinedCall]:
        state = _Rejoin()
        return [RejoinedCall(call.draft is not None, state) for call in calls]

    async def abandon(self, calls: Sequence[LostCall], spec: Json, channel: Channel) -> None:
        limits, language = CodeLimits(), language_of(spec)
        for call in calls:
            async with channel.running_program(language) as program:
                absent = program == "absent"
            if call.draft is not None and not absent:
                cell = CodeCell(call.name, "", ABANDON, limits.characters, known=True, language=language)
                await run_cell(channel, cell)

    async def lost(self, items: Sequence[Json], channel: Channel | None) -> str | None:
        if channel is None:
            gone = [names_in([str(each.get("code") or "") for each in items if each["type"] == CALL])]
        else:
            gone = [await last_names(channel, language) for language in LANGUAGES]
        listed = ", ".join(filter(None, gone))
        return f"These variables of earlier calls are gone: {listed}." if listed else None

    async def ask(self, question: Json, channel: Channel) -> Json:
        """See `tools.optional.KeepsSession`."""
        return await ask(channel, question)

    async def variables(self, channel: Channel) -> Sequence[str]:
        """See `tools.optional.NamesVariables`."""
        return [name for language in LANGUAGES for name in await living_names(channel, language)]

    # -- after it ran, or did not

    def whole_call(self, item: Json, events: Sequence[Json]) -> tuple[Json, Sequence[Json]] | None:
        for place, event in enumerate(events):
            if event["type"] == CODE_DONE:
                return {**item, "code": event["code"]}, events[place + 1 :]
        return None

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        written = "".join(event["delta"] for event in events if event["type"] == CODE_DELTA)
        outputs = outputs_of(told("unknown", NO_END))
        return {**item, "code": written or item.get("code"), "outputs": outputs, "status": "incomplete"}

    # -- presenting it to a model

    def call_fields(self, item: Json) -> Json:
        return {"code": item.get("code") or ""}

    def told(self, item: Json) -> str:
        outputs = item.get("outputs")
        parts = [each for each in outputs if isinstance(each, Mapping)] if isinstance(outputs, list) else []
        pictures = sum(each.get("type") == "image" for each in parts)
        shown = f"[Pictures shown to the user: {pictures}]\n" if pictures else ""
        logs = "".join(str(each.get("logs") or "") for each in parts if each.get("type") == "logs")
        if not shown and not logs:
            return "[No output.]" if item.get("status") == "completed" else NO_END
        return shown + logs

    def arguments(self, call: Json) -> Json:
        return {"code": str(call.get("code") or "")}

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == CALL:
            yield f"ran code: {item['code']}"
        else:
            yield f"printed: {item['output']}"


async def _cite_pictures(channel: Channel, result: CellResult, context: ToolContext) -> None:
    """Make files of the pictures shown, so that the next message can cite them, as in the API."""
    for url in result.images:
        kind, data = url.removeprefix("data:image/").split(";base64,", 1)
        content = base64.b64decode(data)
        path = f"{WORKSPACE}/picture-{hashlib.sha256(content).hexdigest()[:12]}.{kind}"
        try:
            await channel.put(path, _once(content), within=WORKSPACE)
        except SandboxFileError as error:  # the disk may be full; the picture is in the item
            log.info("A picture cannot be cited: %s", error)
            return
        context.cite(path)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


CODE_INTERPRETER = CodeInterpreter()
