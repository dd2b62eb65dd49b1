"""The base class of simple tools: functions with JSON arguments that return text or JSON.

A complete tool::

    class Clock(FunctionTool):
        type = "clock"
        description = "Tell the time."
        parameters = {"type": "object", "properties": {}, "additionalProperties": False}

        async def call(self, arguments, context):
            return datetime.now(UTC).isoformat()

Its items are `clock_call` and `clock_call_output`, named like those of the standard tools.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from openai import BaseModel

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDone, CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.tools.arguments import UnreadableArguments, misfit, read_object
from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.live import malformed_call

Json = Mapping[str, Any]

LONGEST = 1_000_000
"""Maximum length of a result, in characters. A longer one is cut, with a note."""


@dataclass(frozen=True)
class Result:
    """The complete output of a call, even if pieces of it were emitted before."""

    text: str


class FunctionTool(Tool):
    """A tool with `type`, `description`, `parameters` (a JSON schema) and `call`."""

    description: ClassVar[str]
    parameters: ClassVar[dict[str, Any]]
    parallel = True

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "type" in cls.__dict__:
            cls.call_type = f"{cls.type}_call"
            cls.output_type = f"{cls.type}_call_output"
            cls.id_prefixes = (f"{cls.type}_", f"{cls.type}o_")

    @abstractmethod
    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Any:
        """Run the tool and return text, or JSON. The arguments fit `parameters`.

        `context.emit` takes text to show at once; joined, it should be the beginning of the result. Raise an
        `AgentKernelError` to end the turn, for example because the sandbox is gone. The model gets the class
        name of any other error as the result. Cancelling must stop the call.
        """

    # -- the form for models

    def function_spec(self, entry: ToolEntry) -> Json:
        return {"description": self.description, "parameters": self.parameters}

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        try:
            value = read_object(arguments)
            arguments.encode()
        except UnreadableArguments as error:
            raise malformed_call(self.type, str(error), arguments) from None
        except UnicodeEncodeError:
            why = "its arguments have characters that UTF-8 cannot encode"
            raise malformed_call(self.type, why, arguments) from None
        if (problem := misfit(value, self.parameters)) is not None:
            raise malformed_call(self.type, problem, arguments)
        return CallDone(self, call_id, (arguments if arguments.strip() else "{}",))

    def arguments(self, call: Json) -> Json:
        try:
            return read_object(call["arguments"])
        except UnreadableArguments:  # it was cut off
            return {}

    def arguments_text(self, call: Json) -> str:
        return json.dumps(self.arguments(call), ensure_ascii=False)

    def result(self, output: Json) -> str:
        return str(output["output"])

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == self.call_type:
            yield f"called: {self.type}({item['arguments']})"
        else:
            yield f"got: {item['output']}"

    # -- its items

    def check_item(self, item: Json, where: str) -> None:
        super().check_item(item, where)
        name = "arguments" if item["type"] == self.call_type else "output"
        if not isinstance(item.get(name), str):
            raise InvalidRequest(f"{where}.{name} must be a string.", param=f"{where}.{name}")

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        return HostedCallDraft(index, numbers, start, self)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        return HostedOutputDraft(index, numbers, call, self)

    def container_of(self, call: Json) -> str | None:
        container_id = call.get("container_id")
        return container_id if isinstance(container_id, str) else None

    # -- running it

    def policy_subject(self, call: Json) -> Sequence[str] | None:
        return [f"{self.type} {self.arguments_text(call)}"]

    def refuse(self, call: Json, why: str) -> Iterator[Result]:
        yield Result(why)

    async def run(self, call: Json, context: ToolContext) -> None:
        try:
            value = await self.call(dict(self.arguments(call)), context)
        except AgentKernelError:
            raise
        except Exception as error:  # noqa: BLE001 (the model can react; the error's text may hold a secret)
            value = f"The tool failed: {type(error).__name__}."
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > LONGEST:
            text = f"{text[:LONGEST]}\n[... {len(text) - LONGEST} characters left out ...]"
        await context.emit(Result(f"{text}\n{context.note}" if context.note else text))

    def unanswered(self, call: Json, why: str) -> str:
        return why

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        return {**item, "arguments": "".join(parts)}

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        shown = "".join(event["delta"] for event in events if event["type"].endswith(".delta"))
        return {**item, "output": _with_note(shown, "The call did not run to its end.")}


class HostedCallDraft(CallDraft):
    """The draft of a call to a `FunctionTool`. Its only part is the JSON of the arguments."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart, tool: Tool) -> None:
        super().__init__(index, numbers, start)
        self._tool = tool
        self.id = ids.item_id(tool.call_type, tool.id_prefixes[0])

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        fields = {"container_id": self.start.container_id} if self._tool.in_sandbox else {}
        return item_of(
            {
                "id": self.id,
                "type": self._tool.call_type,
                "call_id": self.call_id,
                "arguments": "".join(self.texts()),
                "status": status,
                **fields,
            }
        )

    def part_delta(self, part: int, text: str) -> Events:
        return [self._event("delta", delta=text)]

    def part_done(self, part: int, text: str) -> Events:
        return [self._event("done", arguments=text)]

    def _event(self, what: str, **fields: str) -> Any:
        name = f"response.{self._tool.call_type}_arguments.{what}"
        return _event(name, self.id, self.index, next(self.numbers), **fields)


class HostedOutputDraft(OutputDraft):
    """The draft of the output of a `FunctionTool`. It accepts pieces of text, and the `Result`."""

    def __init__(self, index: int, numbers: Iterator[int], call: CallItem, tool: Tool) -> None:
        super().__init__(index, numbers)
        self._tool = tool
        self._call_id = call.call_id
        self.id = ids.item_id(tool.output_type, tool.id_prefixes[1])
        self._shown = ""
        self._result: str | None = None

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        return item_of(
            {
                "id": self.id,
                "type": self._tool.output_type,
                "call_id": self._call_id,
                "output": self._result if self._result is not None else "",
                "status": status,
            }
        )

    def write(self, piece: str | Result) -> Events:
        """Stream a piece of text, or record the result and stream the part not shown before."""
        if isinstance(piece, Result):
            self._result = piece.text
            rest = piece.text.removeprefix(self._shown) if piece.text.startswith(self._shown) else ""
            return self._delta(rest)
        room = LONGEST - len(self._shown)
        return self._delta(piece[: max(0, room)])

    def close_unfinished(self, why: str) -> Events:
        if self._result is None:
            self._result = _with_note(self._shown, why)
        return []

    def _delta(self, text: str) -> Events:
        if not text:
            return []
        self._shown += text
        name = f"response.{self._tool.output_type}.delta"
        event: Any = _event(name, self.id, self.index, next(self.numbers), delta=text)
        return [event]


def _event(name: str, item_id: str, index: int, number: int, **fields: str) -> BaseModel:
    """Make an event that the `openai` package has no class for; its client accepts that."""
    values: dict[str, Any] = {
        "type": name,
        "item_id": item_id,
        "output_index": index,
        "sequence_number": number,
        **fields,
    }
    return BaseModel.construct(None, **values)


def _with_note(text: str, note: str) -> str:
    return f"{text}\n{note}" if text and not text.endswith("\n") else text + note
