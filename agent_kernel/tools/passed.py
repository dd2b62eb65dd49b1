"""Tools that a model's server runs itself, or whose calls it hands to the client.

Their entries go to a server of the Responses API as they are, and so do the items:
`models.reading.passed_items` keeps the calls, and the client's outputs are passed on like other input items
of tools that this server does not have. Models of other dialects cannot have them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.coverage import INSTEAD
from agent_kernel.tools.function import FunctionTool

Json = Mapping[str, Any]


class PassedTool(FunctionTool):
    """A tool whose entries are passed on. `handed_over` is the type of the calls that the client answers."""

    passed = True
    description = ""
    parameters: ClassVar[dict[str, Any]] = {}
    handed_over: ClassVar[str | None] = None

    def native_spec(self, entry: ToolEntry) -> Json:
        return entry.spec

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> NoReturn:
        raise NotImplementedError


def check_passed(entries: Sequence[ToolEntry], model: str) -> None:
    """Refuse these tools for a model that cannot have them. Raises `InvalidRequest`."""
    for entry in entries:
        if entry.tool.passed:
            raise InvalidRequest(
                f"The model {shortened(model)} cannot have the tool {entry.tool.type}.",
                hint=f"Choose a model of a server of the Responses API. Or: {INSTEAD[entry.tool.type]}",
                param=f"tools[{entry.index}].type",
                code="unsupported_tool",
            )


class ImageGeneration(PassedTool):
    """Draws at the model's server."""

    type = "image_generation"

    def read(self, spec: Json, index: int) -> ToolEntry:
        mask = spec.get("input_image_mask")
        if isinstance(mask, Mapping) and mask.get("file_id") is not None:
            where = f"tools[{index}].input_image_mask.file_id"
            raise InvalidRequest(
                f"{where}: the model's server does not have the files of this one.",
                hint="Send the mask as image_url.",
                param=where,
            )
        return super().read(spec, index)


class LocalShell(PassedTool):
    """Runs commands at the client."""

    type = "local_shell"
    handed_over = "local_shell_call"
