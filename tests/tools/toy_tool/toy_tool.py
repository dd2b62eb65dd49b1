"""A tool in one file: it writes a file into the container."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.function import FunctionTool


class Stamp(FunctionTool):
    """`{"type": "stamp", "ink": "red"}`."""

    type = "stamp"
    description = "Stamp a file in the container."
    parameters = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "wait": {"type": "boolean"}},
        "required": ["name"],
    }
    in_sandbox = True

    def read(self, spec: Mapping[str, Any], index: int) -> ToolEntry:
        if spec.get("ink", "red") not in ("red", "blue"):
            where = f"tools[{index}].ink"
            raise InvalidRequest(f"{where} must be red or blue.", param=where)
        return super().read(spec, index)

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> str:
        ink = context.spec.get("ink", "red")
        await context.emit("stamping ")
        if arguments.get("wait"):
            await asyncio.Event().wait()

        async def content() -> AsyncIterator[bytes]:
            yield f"{ink}\n".encode()

        async with context.sandbox() as channel:
            await channel.put(f"/mnt/data/{arguments['name']}", content())
        return f"stamping {arguments['name']} in {ink}"
