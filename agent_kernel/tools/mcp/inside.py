"""MCP servers that run in the turn's container and speak over their standard input and output.

The program lives as long as the container, so its state lasts over turns, and each turn connects to it anew.
What an earlier turn asked and did not wait for may be answered late. So the ids of requests name the
connection, and an answer to another one is dropped. Lines that are no message are dropped too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from agent_kernel.sandboxes.calls import Exited
from agent_kernel.tools.mcp.connection import McpFailure
from agent_kernel.tools.mcp.results import INTERNAL, PROTOCOL, clipped
from agent_kernel.tools.mcp.spec import McpServer

if TYPE_CHECKING:
    from mcp import Client

    from agent_kernel.sandboxes.channel import Channel
    from agent_kernel.sandboxes.terminal import Program

log = logging.getLogger(__name__)

Json = Mapping[str, Any]
OpensSandbox = Callable[[], AbstractAsyncContextManager["Channel"]]

LONGEST_LINE = 32 << 20
"""Bytes of one message."""
_STDERR = 2000
"""Characters of the end of its stderr that the error of a server that ended repeats."""


def program_name(server: McpServer) -> str:
    """Return the name of a server's program in its sandbox: another command is another program."""
    digest = hashlib.sha256(json.dumps(server.command).encode()).hexdigest()[:12]
    return f"mcp-{server.label[:40]}-{digest}"


@asynccontextmanager
async def over_stdio(
    server: McpServer, sandbox: OpensSandbox, ends: Callable[[McpFailure], None], options: dict[str, Any]
) -> AsyncGenerator[Client, None]:
    """Connect to a server in the sandbox, which is started if it does not run.

    `ends` is told how its program ended. Raises what `Channel.program` raises.
    """
    from mcp import Client

    async with (
        sandbox() as channel,
        channel.program(program_name(server), server.command) as program,
        Client(_Link(program, ends).transport(), **options) as client,
    ):
        yield client


class _Link:
    """Carries messages between the `mcp` package and a program."""

    def __init__(self, program: Program, ends: Callable[[McpFailure], None]) -> None:
        self._program = program
        self._ends = ends
        self._mark = f"{secrets.token_hex(4)}-"
        self._stderr = ""

    @asynccontextmanager
    async def transport(self) -> AsyncGenerator[Any, None]:
        """Yield the two streams that a transport of the package has."""
        import anyio
        from mcp.shared.message import SessionMessage

        to_client, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        to_server, from_client = anyio.create_memory_object_stream[SessionMessage](0)
        async with to_client, from_server, to_server, from_client, anyio.create_task_group() as group:
            group.start_soon(self._read, to_client)
            group.start_soon(self._write, from_client)
            try:
                yield from_server, to_server
            finally:
                group.cancel_scope.cancel()

    async def _read(self, to_client: Any) -> None:
        line = bytearray()
        async with to_client:
            while True:
                piece = await self._program.read()
                if isinstance(piece, Exited):
                    self._ends(self._ended(piece))
                    return
                if piece.stream == "stderr":
                    self._stderr = (self._stderr + piece.data.decode(errors="replace"))[-_STDERR:]
                    continue
                *whole, rest = piece.data.split(b"\n")
                for each in whole:
                    await self._take(bytes(line) + each, to_client)
                    line.clear()
                line += rest
                if len(line) > LONGEST_LINE:
                    self._ends(McpFailure("It sent too much.", PROTOCOL, INTERNAL))
                    return

    async def _take(self, line: bytes, to_client: Any) -> None:
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        try:
            value = json.loads(line)
            if not isinstance(value, dict) or not self._is_ours(value):
                return
            message = jsonrpc_message_adapter.validate_python(value, by_name=False)
        except (ValueError, RecursionError):  # noise on stdout
            log.debug("A line of an MCP server is not a message.")
            return
        await to_client.send(SessionMessage(message))

    def _is_ours(self, value: dict[str, Any]) -> bool:
        """Give ids their own form again. Return whether the message belongs to this connection."""
        if "method" not in value:
            return self._unmarked(value, "id")
        if value["method"] == "notifications/progress" and isinstance(value.get("params"), dict):
            return self._unmarked(value["params"], "progressToken")
        return True

    def _unmarked(self, fields: dict[str, Any], name: str) -> bool:
        given = fields.get(name)
        if not isinstance(given, str) or not given.startswith(self._mark):
            return False
        number = given.removeprefix(self._mark)
        fields[name] = int(number) if number.isdecimal() and len(number) < 10 else number
        return True

    async def _write(self, from_client: Any) -> None:
        async with from_client:
            async for sent in from_client:
                value = sent.message.model_dump(mode="json", by_alias=True, exclude_unset=True)
                await self._program.write(json.dumps(self._marked(value)).encode() + b"\n")

    def _marked(self, value: dict[str, Any]) -> dict[str, Any]:
        params = value.get("params")
        if "method" in value and "id" in value:
            value["id"] = f"{self._mark}{value['id']}"
            meta = params.get("_meta") if isinstance(params, dict) else None
            if isinstance(meta, dict) and "progressToken" in meta:
                meta["progressToken"] = f"{self._mark}{meta['progressToken']}"
        elif value.get("method") == "notifications/cancelled" and isinstance(params, dict):
            params["requestId"] = f"{self._mark}{params.get('requestId')}"
        return value

    def _ended(self, ended: Exited) -> McpFailure:
        said = " ".join(self._stderr.split())
        why = f": {clipped(said, 500)}" if said else "."
        return McpFailure(f"Its program ended with exit code {ended.code}{why}", PROTOCOL, INTERNAL)
