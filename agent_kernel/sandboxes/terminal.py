"""Byte streams into a sandbox: a terminal for the user, and a connection made from inside."""

from __future__ import annotations

from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.calls import Call, Exited, read_outcome
from agent_kernel.sandboxes.connection import SandboxConnection


class Terminal:
    """A user's terminal in the sandbox; made by `Channel.terminal`."""

    def __init__(self, connection: SandboxConnection, call: Call) -> None:
        self._connection = connection
        self._call = call

    async def read(self) -> bytes | Exited:
        """Return what the terminal shows next, control sequences included; `Exited` when its shell ended."""
        kind, payload = await self._connection.next(self._call)
        if kind == wire.DATA:
            return (await self._connection.data(self._call, payload))[1]
        outcome = read_outcome(wire.parse_json(payload))
        return outcome if isinstance(outcome, Exited) else Exited(130)

    async def write(self, typed: bytes) -> None:
        """Type something."""
        await self._connection.send_data(self._call, typed)

    async def resize(self, rows: int, columns: int) -> None:
        """Resize the window."""
        await self._connection.send(
            wire.message(wire.EVENT, self._call.number, {"rows": rows, "columns": columns})
        )


class Dialed:
    """A connection made from inside the sandbox; made by `Channel.dial`."""

    def __init__(self, connection: SandboxConnection, call: Call) -> None:
        self._connection = connection
        self._call = call
        self._ended = False

    async def read(self) -> bytes:
        """Return the next bytes, `b""` after the last ones. Raises `SandboxFileError` if it broke off."""
        if self._ended:
            return b""
        kind, payload = await self._connection.next(self._call)
        if kind == wire.DATA:
            return (await self._connection.data(self._call, payload))[1]
        self._ended = True
        return b""

    async def write(self, data: bytes) -> None:
        """Send all of `data`, waiting while the other end does not read."""
        await self._connection.send_data(self._call, data)

    async def write_eof(self) -> None:
        """Send no more data. Reading goes on."""
        await self._connection.send(wire.frame(wire.EOF, self._call.number))
