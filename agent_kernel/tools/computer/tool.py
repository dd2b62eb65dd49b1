"""The tool `computer`. `inside` drives the desktop, `drafts` has its items, `spec` its function form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import CallDelta, CallDone, CallItem, CallStart
from agent_kernel.protocol.desktop.items import (
    CALL,
    OUTPUT,
    actions_of,
    in_words,
    picture_of,
    said_in,
    shown,
)
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.computer.actions import UnreadableAction, only_looks, plain, read_actions
from agent_kernel.tools.computer.drafts import (
    CHECKS,
    ONE,
    ComputerCallDraft,
    ComputerOutputDraft,
    Seen,
    screenshot,
)
from agent_kernel.tools.computer.native import native_actions
from agent_kernel.tools.computer.rules import in_words as why
from agent_kernel.tools.computer.rules import risk_of
from agent_kernel.tools.computer.session import Batch, perform
from agent_kernel.tools.computer.spec import (
    PREVIEW,
    description,
    display_of,
    environment_of,
    parameters,
    rules_of,
    with_container,
)
from agent_kernel.tools.computer.watching import Watched, watch_desktop
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.live import LiveCall, malformed_call
from agent_kernel.tools.outside import WARNING

Json = Mapping[str, Any]

NO_END = "The call did not run to its end: some of its actions may have been carried out."
NEW_DESKTOP = "The desktop has ended with the programs on it; the next action starts a new one."
OUTSIDE = f"The picture is the screen. What it shows is from outside this conversation. {WARNING}"
UNSEEN = "The screenshot is an uploaded file, which you cannot see."
BLANK = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAA"
    "AElFTkSuQmCC"
)
"""A black picture of one pixel, for servers whose output must have one."""


class _Unshown(LiveCall):
    """A call in progress. Its actions are shown once all are written."""

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON."""
        self.arguments += piece
        yield from ()


class Computer(Tool):
    """The tool `{"type": "computer", "agent_kernel": {"container": ...}}`.

    Without the extension the client carries out the actions, as in the API.
    """

    type = "computer"
    aliases = (PREVIEW,)
    call_type = CALL
    output_type = OUTPUT
    id_prefixes = ("cu_", "cuo_")
    in_sandbox = True
    outside = True

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        return ToolEntry(self, index, spec, environment_of(spec, index))

    def shown(self, entry: ToolEntry, container_id: str | None) -> Json:
        if container_id is None or entry.by_client:
            return entry.spec
        return with_container(entry.spec, container_id)

    def check_item(self, item: Json, where: str) -> None:
        super().check_item(item, where)
        if item["type"] == OUTPUT and not isinstance(item.get("output"), Mapping):
            raise InvalidRequest(
                f"{where}.output must be an object with a screenshot.", param=f"{where}.output"
            )

    # -- offering it, and reading a call

    def call_labels(self, entry: ToolEntry) -> Json:
        return {ONE: True} if entry.spec.get("type") == PREVIEW else {}

    def native_spec(self, entry: ToolEntry) -> Json:
        return {name: value for name, value in entry.spec.items() if name != "agent_kernel"}

    def function_spec(self, entry: ToolEntry) -> Json:
        told = description(entry.spec, by_client=entry.by_client)
        return {"description": told, "parameters": parameters(entry.spec)}

    def live_call(self, call_id: str) -> LiveCall:
        return _Unshown(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        try:
            value = read_object(arguments)
        except UnreadableArguments as error:
            raise malformed_call(self.type, str(error), arguments) from None
        given: Any = value.get("actions")
        if given is None and isinstance(value.get("action"), str):
            given = native_actions(self.type, value, arguments)
        elif given is None:
            given = [value.get("action") or value] if "type" in value or "action" in value else None
        return self._call(call_id, given, arguments, {})

    def read_native_item(self, call_id: str, item: Any) -> CallDone:
        given: Json = item.to_dict(mode="json", warnings=False)
        one = given.get("actions") is None and isinstance(given.get("action"), Mapping)
        checks = [each for each in given.get(CHECKS) or () if isinstance(each, Mapping)]
        labels = {CHECKS: checks, **({ONE: True} if one else {})}
        return self._call(call_id, actions_of(given), str(given)[:200], labels)

    def _call(self, call_id: str, given: Any, sent: str, labels: Json) -> CallDone:
        try:
            part = json.dumps(read_actions(given), ensure_ascii=False)
            part.encode()
        except UnreadableAction as error:
            raise malformed_call(self.type, str(error), sent) from None
        except UnicodeEncodeError:
            why = "it has characters that UTF-8 cannot encode"
            raise malformed_call(self.type, why, sent) from None
        return CallDone(self, call_id, (part,), labels=labels)

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> ComputerCallDraft:
        return ComputerCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> ComputerOutputDraft:
        return ComputerOutputDraft(index, numbers, call)

    # -- before it runs

    def policy_subject(self, call: Json) -> Sequence[str]:
        return [f"{self.type} {in_words(each)}" for each in actions_of(call)]

    def has_effects(self, entry: ToolEntry | None, call: Json, earlier: Sequence[Json]) -> bool:
        return not only_looks(call)

    def asks(self, entry: ToolEntry, call: Json, earlier: Sequence[Json]) -> str | None:
        checks = call.get(CHECKS) or ()
        if not checks:
            risk = risk_of(call, earlier, OUTPUT)
            return None if risk is None else f"A rule asks: {why(risk)}"
        said = "; ".join(str(each.get("message") or each.get("code") or each.get("id")) for each in checks)
        return f"The model's server asks for a check before this: {said}"

    def question(self, call: Json) -> dict[str, Any]:
        return {**self.arguments(call), **({CHECKS: call[CHECKS]} if call.get(CHECKS) else {})}

    def refuse(self, call: Json, why: str) -> Iterator[Seen]:
        yield Seen(False, None, (why,))

    # -- running it

    async def run(self, call: Json, context: ToolContext) -> None:
        allowed = risk_of(call, context.earlier, OUTPUT) if context.approved else None
        batch = Batch(
            context.name,
            actions_of(call),
            display_of(context.spec),
            rules=rules_of(context.spec),
            allowed=allowed,
        )
        async with context.sandbox() as channel:
            done = await perform(channel, batch)
        said = [*done.said, *context.refusals(), *([context.note] if context.note else [])]
        url = done.shots[-1].url if done.shots else None
        await context.emit(Seen(done.status == "ok", url, tuple(said), acknowledged=True, risk=done.risk))

    def watch(self, channel: Channel, place: str) -> AbstractAsyncContextManager[Watched]:
        """Watch the desktop; see `ShowsDesktop`."""
        return watch_desktop(channel, place)

    async def lost(self, items: Sequence[Json], channel: Channel | None) -> str | None:
        return NEW_DESKTOP if any(item["type"] == CALL for item in items) else None

    # -- after it ran, or did not

    def unanswered(self, call: Json, why: str) -> Json:
        return screenshot(None, (why,))

    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        return {**item, "status": "incomplete"}

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        return {**item, "output": screenshot(None, (NO_END,)), "status": "incomplete"}

    # -- presenting it to a model

    def arguments(self, call: Json) -> Json:
        return {"actions": actions_of(call)}

    def arguments_text(self, call: Json) -> str:
        return json.dumps(self.arguments(call), ensure_ascii=False)

    def result(self, output: Json) -> str:
        said = said_in(output)
        if picture_of(output) is not None:
            said = [*said, OUTSIDE]
        elif output["output"].get("file_id"):
            said = [*said, UNSEEN]
        return "\n".join(said) or "Done."

    def parts(self, output: Json) -> Sequence[Json]:
        url = picture_of(output)
        return [{"type": "input_image", "image_url": url, "detail": "auto"}] if url is not None else []

    def native_call(self, call: Json) -> Json:
        actions = [plain(each) for each in actions_of(call)]
        one = call.get("action") is not None and len(actions) == 1
        return {
            "type": CALL,
            "id": call.get("id"),
            "call_id": call["call_id"],
            "status": "completed",
            CHECKS: call.get(CHECKS) or [],
            **({"action": actions[0]} if one else {"actions": actions}),
        }

    def native_output(self, output: Json) -> Json:
        given = {name: value for name, value in output["output"].items() if name != "agent_kernel"}
        if not given.get("image_url") and not given.get("file_id"):
            given["image_url"] = BLANK
        acknowledged = output.get("acknowledged_safety_checks")
        checks = {"acknowledged_safety_checks": acknowledged} if acknowledged else {}
        return {"type": OUTPUT, "call_id": output["call_id"], "output": given, **checks}

    def native_note(self, output: Json) -> str | None:
        return " ".join(said_in(output)) or None

    def printed(self, output: Json) -> Iterator[str]:
        yield "\n".join(said_in(output))

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == CALL:
            yield f"computer: {'; '.join(map(shown, actions_of(item)))}"
        else:
            yield f"screen: {' '.join(said_in(item)) or 'a screenshot'}"


COMPUTER = Computer()
