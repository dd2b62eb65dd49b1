"""Byte streams into a sandbox: a terminal, a connection made from inside, and a long-lived program."""

from __future__ import annotations

from typing import Any

from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.calls import Call, Exited, Output, read_outcome
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


class Program:
    """A program that this host uses; made by `Channel.program`.

    `number` counts the processes that had its name in this sandbox. `started` says that this call started the
    process, `before` in words how the last one ended, if no host has been told. `variables` are those of
    commands that have changed since the process began, None for one that is removed.
    """

    def __init__(self, connection: SandboxConnection, call: Call, report: dict[str, Any]) -> None:
        self._connection = connection
        self._call = call
        self._unread: Output | None = None
        self._owed = 0
        number = report.get("number")
        self.started = report.get("started") is True
        self.number = number if type(number) is int else 0
        self.before = _ended(report.get("before"))
        self.variables = _variables(report.get("variables"))

    async def read(self) -> Output | Exited:
        """Return the next piece of what it prints; `Exited` when it has ended, with all that it started.

        A cancelled call loses nothing. Raises `SandboxGone`, `ChannelBroken`.
        """
        if self._unread is None:
            kind, payload = await self._connection.next(self._call)
            if kind != wire.DATA:
                outcome = read_outcome(wire.parse_json(payload))
                return outcome if isinstance(outcome, Exited) else Exited(130)
            stream, data, back = self._call.take_data(payload)
            self._unread = Output("stderr" if stream == wire.STDERR else "stdout", data)
            self._owed += back
        if self._owed:
            owed, self._owed = self._owed, 0
            await self._connection.send(wire.credit(self._call.number, owed))
        found, self._unread = self._unread, None
        return found

    async def write(self, data: bytes) -> None:
        """Write to its standard input. Waits while the program does not read."""
        await self._connection.send_data(self._call, data)

    async def write_eof(self) -> None:
        """Close its standard input."""
        await self._connection.send(wire.frame(wire.EOF, self._call.number))

    async def interrupt(self) -> None:
        """Send SIGINT to its process group, as Ctrl-C in a terminal does."""
        await self._signal("interrupt")

    async def kill(self) -> None:
        """Kill it and all that it has started. `read` then returns its end."""
        await self._signal("kill")

    async def _signal(self, name: str) -> None:
        await self._connection.send(wire.message(wire.EVENT, self._call.number, {"signal": name}))


def _variables(changed: object) -> dict[str, str | None]:
    given = changed.items() if isinstance(changed, dict) else ()
    return {name: value for name, value in given if value is None or isinstance(value, str)}


def _ended(before: object) -> str | None:
    if not isinstance(before, dict):
        return None
    outcome = read_outcome(before)
    if not isinstance(outcome, Exited):
        return None
    return ", ".join(outcome.reached) or f"exit code {outcome.code}"
