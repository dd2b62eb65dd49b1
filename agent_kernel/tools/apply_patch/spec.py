"""The entry of `apply_patch` in a request, the tool as a function for models, and how calls are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.base import Environment
from agent_kernel.tools.live import LiveCall, malformed_call
from agent_kernel.tools.shell.environment import read_environment

if TYPE_CHECKING:
    from agent_kernel.tools.base import Tool

Json = Mapping[str, Any]

KINDS = ("create_file", "update_file", "delete_file")
LONGEST_DIFF = 1_000_000
"""Characters of one diff."""

DESCRIPTION = (
    "Create, change or delete one text file. The change is made whole or not at all. `diff` is a V4A diff. "
    "To create a file, each line begins with +. To update one, each section has unchanged lines that begin "
    "with a blank, old lines that begin with - and new lines that begin with +, with about three unchanged "
    "lines before and after; there are no line numbers. Begin a section with `@@ LINE`, a line above it such "
    "as `@@ def f():`, where the unchanged lines alone are not unique. The path is relative to {}."
)
_IN_CONTAINER = "/mnt/data in this conversation's container"
_AT_CLIENT = "the workspace"


def description(*, by_client: bool) -> str:
    """Return what models read about the tool."""
    return DESCRIPTION.format(_AT_CLIENT if by_client else _IN_CONTAINER)


def parameters(*, by_client: bool) -> Json:
    """Return the JSON schema of the function's arguments."""
    fields: dict[str, Any] = {
        "type": {"type": "string", "enum": list(KINDS)},
        "path": {"type": "string", "description": "The file's path."},
        "diff": {"type": "string", "description": "The V4A diff; none to delete a file."},
    }
    if not by_client:
        fields["move_to"] = {"type": "string", "description": "To rename an updated file: its new path."}
    return {
        "type": "object",
        "properties": fields,
        "required": ["type", "path"],
        "additionalProperties": False,
    }


def environment_of(spec: Json, index: int) -> Environment:
    """Return where entry number `index` of `tools` applies patches. Raises `InvalidRequest`.

    The client does, as in the API, unless `agent_kernel.environment` names a container.
    """
    ours, where = spec.get("agent_kernel"), f"tools[{index}].agent_kernel"
    if ours is None:
        return Environment("local", index, field="type")
    if not isinstance(ours, Mapping) or set(ours) != {"environment"}:
        raise InvalidRequest(
            f"{where} must be an object with environment, not {shortened(ours)}.",
            hint="For example: {'environment': {'type': 'container_auto'}}.",
            param=where,
        )
    return read_environment(ours["environment"], index, "agent_kernel.environment")


class LivePatch(LiveCall):
    """A call in progress: streams the diff as far as it can be parsed, once type and path are known."""

    def __init__(self, tool: Tool, call_id: str) -> None:
        super().__init__(tool, call_id)
        self._shown = -1

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON and yield what it adds to the diff."""
        value = self.begun(piece)
        if not isinstance(value, dict) or next(reversed(value), None) != "diff" or "move_to" in value:
            return  # what comes before the diff may not be whole
        head = head_of(value)
        diff = value["diff"]
        if head is not None and isinstance(diff, str) and len(diff) > max(self._shown, 0):
            yield CallDelta(self.tool, self.call_id, diff[max(self._shown, 0) :], labels=head)
            self._shown = len(diff)


def head_of(value: Json) -> Json | None:
    """Return the operation without its diff, as the labels of a call; None if it is not known."""
    kind, path, target = value.get("type"), value.get("path"), value.get("move_to")
    if kind not in KINDS or not isinstance(path, str) or not path:
        return None
    head: dict[str, Any] = {"operation": {"type": kind, "path": path}}
    return {**head, "agent_kernel": {"move_to": target}} if isinstance(target, str) and target else head


def parse_call(tool: Tool, call_id: str, arguments: str) -> CallDone:
    """Read the function's arguments as the model wrote them. Raises `MalformedCall`."""
    try:
        value = read_object(arguments)
    except UnreadableArguments as error:
        raise malformed_call(tool.type, str(error), arguments) from None
    if isinstance(value.get("operation"), dict):  # the form of the native item
        value = value["operation"]
    return read_operation(tool, call_id, value, arguments)


def read_operation(tool: Tool, call_id: str, value: Json, sent: str) -> CallDone:
    """Read an operation. `sent` is what the model sent. Raises `MalformedCall`."""
    head, diff = head_of(value), value.get("diff")
    if value.get("type") not in KINDS:
        raise malformed_call(tool.type, f"its type must be {', '.join(KINDS[:2])} or {KINDS[2]}", sent)
    if head is None:
        raise malformed_call(tool.type, "it needs a string called path", sent)
    if unknown := sorted(set(value) - {"type", "path", "diff", "move_to"}):
        raise malformed_call(tool.type, f"it has no argument {unknown[0][:40]}", sent)
    if value["type"] == "delete_file":
        diff = diff or ""
    if not isinstance(diff, str) or not isinstance(value.get("move_to") or "", str):
        raise malformed_call(tool.type, "it needs a string called diff", sent)
    if len(diff) > LONGEST_DIFF:
        raise malformed_call(tool.type, f"its diff has more than {LONGEST_DIFF} characters", sent)
    if value.get("move_to") and value["type"] != "update_file":
        raise malformed_call(tool.type, "move_to is only for update_file", sent)
    try:
        (diff + value["path"] + (value.get("move_to") or "")).encode()
    except UnicodeEncodeError:
        why = "it has characters that UTF-8 cannot encode"
        raise malformed_call(tool.type, why, sent) from None
    return CallDone(tool, call_id, (diff,), labels=head)
