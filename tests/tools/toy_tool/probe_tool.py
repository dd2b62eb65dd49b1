"""A tool whose call and output are one item: it runs code in the container's shell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import aclosing
from typing import Any

from openai import BaseModel

from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDelta, CallDone, CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.drafts import Events
from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of, to_json
from agent_kernel.sandboxes.channel import Output
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.context import LostCall, RejoinedCall, ToolContext
from agent_kernel.tools.live import LiveCall, malformed_call
from agent_kernel.tools.one_item import NO_END, OneItemTool

Json = Mapping[str, Any]
DONE = "response.probe_call_code.done"
PRINTED = "response.probe_call.output.delta"


class Probe(OneItemTool):
    """`{"type": "probe"}`. Its items are `{id, type, code, container_id, outputs, status}`."""

    type = "probe"
    call_type = "probe_call"
    id_prefix = "prb_"
    in_sandbox = True
    resumable = True
    optional_fields = {"probe_call.outputs": "outputs"}

    def function_spec(self, entry: ToolEntry) -> Json:
        code = {"type": "string"}
        return {
            "description": "Run code.",
            "parameters": {"type": "object", "properties": {"code": code}, "required": ["code"]},
        }

    def live_call(self, call_id: str) -> LiveCall:
        return Unseen(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        code = json.loads(arguments).get("code")
        if not isinstance(code, str):
            raise malformed_call(self.type, "it has no code", arguments)
        return CallDone(self, call_id, (code,))

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        return ProbeCall(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        return ProbeOutput(index, numbers, to_json(call))

    def policy_subject(self, call: Json) -> Sequence[str]:
        return [call["code"]]

    def container_of(self, call: Json) -> str | None:
        container_id = call.get("container_id")
        return container_id if isinstance(container_id, str) else None

    def edited(self, call: Json, commands: Sequence[str]) -> Json:
        return {**call, "code": "\n".join(commands)}

    def refuse(self, call: Json, why: str) -> Iterator[str | None]:
        yield from (why, None)

    async def run(self, call: Json, context: ToolContext) -> None:
        async with context.sandbox() as channel:
            events = (
                channel.run(call["code"], name=context.name)
                if context.rejoin is None
                else channel.watch(context.name)
            )
            seen = context.rejoin or 0
            async with aclosing(events) as found:
                async for event in found:
                    if isinstance(event, Output):
                        text, seen = event.data.decode()[seen:], max(0, seen - len(event.data))
                        await context.emit(text)
        if context.note:
            await context.emit(context.note)
        await context.emit(None)

    def rejoin(self, calls: Sequence[LostCall], response_id: str, known: Set[str]) -> list[RejoinedCall]:
        if not all(call.name in known or call.draft is None for call in calls):
            return []
        return [
            RejoinedCall(call.name in known, len(call.draft.text))
            if isinstance(call.draft, ProbeOutput)
            else RejoinedCall(False, None)
            for call in calls
        ]

    def call_fields(self, item: Json) -> Json:
        return {"code": item.get("code")}

    def told(self, item: Json) -> str:
        outputs = item.get("outputs")
        return outputs if isinstance(outputs, str) else NO_END

    def arguments(self, call: Json) -> Json:
        return {"code": call["code"]}

    def transcript(self, item: Json) -> Iterator[str]:
        yield f"probed: {item['code']}" if item["type"] == self.call_type else f"found: {item['output']}"

    def whole_call(self, item: Json, events: Sequence[Json]) -> tuple[Json, Sequence[Json]] | None:
        place = next((n for n, event in enumerate(events) if event["type"] == DONE), None)
        return None if place is None else ({**item, "code": events[place]["code"]}, events[place + 1 :])

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        code = "".join(event["delta"] for event in events if event["type"].endswith("code.delta"))
        printed = "".join(event["delta"] for event in events if event["type"] == PRINTED)
        outputs = f"{printed}{NO_END}"
        return {**item, "code": code or item["code"], "outputs": outputs, "status": "incomplete"}


class Unseen(LiveCall):
    """A call that is shown when it is whole."""

    def write(self, piece: str) -> Iterator[CallDelta]:
        self.arguments += piece
        yield from ()


class ProbeCall(CallDraft):
    """The item while the model writes the code."""

    def __init__(self, index: int, numbers: Iterator[int], start: CallStart) -> None:
        super().__init__(index, numbers, start)
        self.id = ids.item_id(Probe.call_type, Probe.id_prefix)

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        about = {"id": self.id, "type": Probe.call_type, "container_id": self.start.container_id}
        code = "".join(self.texts())
        return item_of({**about, "code": code, "outputs": None, "status": status, **self.start.labels})

    def part_delta(self, part: int, text: str) -> Events:
        return [said("response.probe_call_code.delta", self.index, next(self.numbers), delta=text)]

    def part_done(self, part: int, text: str) -> Events:
        return [said(DONE, self.index, next(self.numbers), code=text)]


class ProbeOutput(OutputDraft):
    """The item from when the code runs."""

    def __init__(self, index: int, numbers: Iterator[int], call: Json) -> None:
        super().__init__(index, numbers)
        self.call = call
        self.text = ""
        self.ended = False

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        return item_of({**self.call, "outputs": self.text or None, "status": status})

    def restore(self, item: Json, events: Sequence[Json]) -> None:
        self.text = "".join(event["delta"] for event in events if event["type"] == PRINTED)

    def begun(self) -> Events:
        return [said("response.probe_call.running", self.index, next(self.numbers))]

    def write(self, piece: str | None) -> Events:
        """Take a piece of output; None is its end."""
        self.text += piece or ""
        self.ended = piece is None
        return [said(PRINTED, self.index, next(self.numbers), delta=piece)] if piece else []

    def close_unfinished(self, why: str) -> Events:
        self.text += "" if self.ended else why
        return []

    def done(self, item: ResponseOutputItem) -> Events:
        ended = [said("response.probe_call.completed", self.index, next(self.numbers))] if self.ended else []
        return [*ended, *super().done(item)]


def said(name: str, index: int, number: int, **fields: Any) -> Any:
    """An event that the `openai` package has no class for."""
    return BaseModel.construct(None, type=name, output_index=index, sequence_number=number, **fields)
