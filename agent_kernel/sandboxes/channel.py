"""Commands, files and terminals in a sandbox, as calls to boxd."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from functools import partial
from typing import Any, Literal

from agent_kernel.errors import CapabilityMissing, SandboxError, SandboxFileError
from agent_kernel.sandboxes.base import ByteStream
from agent_kernel.sandboxes.boxd import wire
from agent_kernel.sandboxes.calls import (
    Aftermath,
    Call,
    Changes,
    CommandEvent,
    Exited,
    FileStat,
    Output,
    Skipped,
    TimedOut,
    read_aftermath,
    read_file,
    read_outcome,
)
from agent_kernel.sandboxes.connection import SandboxConnection
from agent_kernel.sandboxes.egress import CurrentEgress, DenyAll, Egress, serve_connect
from agent_kernel.sandboxes.launch import SAVED_SHELL
from agent_kernel.sandboxes.near.uploading import upload
from agent_kernel.sandboxes.terminal import Dialed, Program, Terminal

__all__ = [
    "Aftermath",
    "Changes",
    "Channel",
    "CommandEvent",
    "Exited",
    "FileStat",
    "Output",
    "Program",
    "Skipped",
    "Terminal",
    "TimedOut",
]


class Channel:
    """Works in one sandbox. Open it with `Channel.open`; close it with `aclose` (the sandbox lives on).

    Any method raises `SandboxGone` when the stream ends because the sandbox is dead, and `ChannelBroken` when
    boxd breaks the protocol. From then on `closed` is set.
    """

    def __init__(self, connection: SandboxConnection, decision: CurrentEgress) -> None:
        self._connection = connection
        self._decision = decision

    @classmethod
    async def open(cls, stream: ByteStream, egress: Egress | None = DenyAll()) -> Channel:  # noqa: B008
        """Greet boxd on a fresh stream. `egress` decides about connections out of the sandbox.

        None leaves them to the other hosts of this sandbox, if there are any; the newest host with an
        `egress` decides. Raises `SandboxGone`, `ChannelBroken` (another version, or no greeting within 30 s).
        The stream is closed on failure and on cancellation.
        """
        decision = CurrentEgress(DenyAll() if egress is None else egress)
        methods = {} if egress is None else {wire.CONNECT: partial(serve_connect, decision)}
        connection = SandboxConnection(stream, methods)
        await connection.greet()
        return cls(connection, decision)

    def decide_by(self, egress: Egress) -> None:
        """Let `egress` decide about connections from now on. Open connections stay.

        It has no effect on a channel that was opened without an egress.
        """
        self._decision.egress = egress

    @property
    def closed(self) -> asyncio.Event:
        """Is set when the connection has ended, for whatever reason."""
        return self._connection.closed

    @property
    def failure(self) -> SandboxError | None:
        """The error that ended the connection, if one has."""
        return self._connection.failure

    @property
    def methods(self) -> frozenset[str]:
        """The names of the methods that this sandbox serves."""
        return self._connection.peer_methods

    async def run(
        self, command: str, *, timeout: float | None = None, name: str | None = None
    ) -> AsyncGenerator[CommandEvent, None]:
        """Run a command in the sandbox's shell and stream it. The last event is `Exited` or `TimedOut`.

        Commands given at the same time run one after the other; `timeout` (seconds) counts from the start of
        this one. Closing or cancelling the generator kills the command with all that it started, and returns
        when that is done. The shell and its state live on. A slow consumer slows the command. Another host
        can `watch` the command by its `name`. Raises `SandboxFileError` for a command that cannot be started.
        """
        if "\0" in command:
            raise SandboxFileError("A command cannot contain NUL characters.")
        async with self._connection.call("run", command=command, timeout=timeout, name=name) as call:
            async for event in self._watch(call):
                yield event

    async def watch(self, job: int | str, offset: int = 0) -> AsyncGenerator[CommandEvent | Skipped, None]:
        """Continue reading a command that an earlier channel began, from byte `offset` of its output on.

        `job` is its number or its name. The first event is `Skipped` if the sandbox no longer has the output
        from there on. Raises `SandboxFileError` if boxd does not know the job, or no longer does.
        """
        wanted = {"name": job} if isinstance(job, str) else {"job": job}
        async with self._connection.call("watch", offset=offset, **wanted) as call:
            skipped = False
            async for event in self._watch(call):
                if not skipped:  # boxd reports where it begins before it sends anything else
                    skipped = True
                    begins = wire.parse_json(call.report or b"{}").get("offset")
                    if isinstance(begins, int) and begins > offset:
                        yield Skipped(begins - offset)
                yield event

    async def end(self, name: str) -> None:
        """Kill the command of this name with all that it started, and return when that is done.

        Does nothing if the command has ended or is not known. Whoever watches it gets a `SandboxFileError`.
        """
        async with self._connection.call("watch", offset=0, name=name):
            pass  # leaving early cancels the call, and with it the command

    async def commands(self) -> frozenset[str]:
        """Return the names of the commands that `watch` finds: those that run, wait, or ended recently."""
        names = (await self._ask("commands")).get("names")
        return (
            frozenset(each for each in names if isinstance(each, str))
            if isinstance(names, list)
            else frozenset()
        )

    async def _watch(self, call: Call) -> AsyncIterator[CommandEvent]:
        while True:
            kind, payload = await self._connection.next(call)
            if kind == wire.DATA:
                stream, data = await self._connection.data(call, payload)
                yield Output("stderr" if stream == wire.STDERR else "stdout", data)
            else:
                yield read_outcome(wire.parse_json(payload))
                return

    async def aftermath(self, path: str, seconds: float | None) -> Aftermath | None:
        """Describe the sandbox after a command that failed and began `seconds` ago (None: not known).

        Files are those below `path`. None if this sandbox cannot say.
        """
        if "aftermath" not in self.methods:
            return None
        return read_aftermath(await self._ask("aftermath", path=path, seconds=seconds))

    async def reset(self) -> None:
        """Begin a fresh shell: nothing of the old state stays. A running command ends."""
        await self._ask("reset")

    async def set_variables(self, values: Mapping[str, str | None]) -> None:
        """Set environment variables for the commands and terminals to come; None removes one.

        A new shell begins with them too. Raises `CapabilityMissing` for a sandbox of an older version.
        """
        if "variables" not in self.methods:
            raise CapabilityMissing(
                "The variables of this container cannot be changed: an older version made it.",
                hint="Create a new container.",
            )
        await self._ask("variables", values=dict(values))

    async def save_shell(self) -> None:
        """Write the shell's state to a file that checkpoints include, after a running command.

        Raises `SandboxFileError` if it cannot be written.
        """
        async for event in self.run(f"__boxd_dump {SAVED_SHELL}"):
            if not isinstance(event, Output) and event != Exited(0):
                raise SandboxFileError("The shell's state could not be written in the sandbox.")

    async def pause(self, *, idle: bool = False, leaves: bool = False) -> bool:
        """Stop every process in the sandbox where it is. Files can still be moved.

        The sandbox stays paused until `wake`, or until this channel closes. With `idle` it is paused only if
        nothing but background processes is under way, from any host; then the next command wakes it. With
        `leaves` too it begins anew then, see `renew`, if its files were replaced; other hosts can neither
        pause nor wake it before. Returns whether it was paused.
        """
        return bool((await self._ask("pause", idle=idle, leaves=leaves)).get("paused"))

    @property
    def renews(self) -> bool:
        """Whether the sandbox serves `renew`; one of an older version does not."""
        return "renew" in self.methods

    async def renew(self) -> None:
        """Begin anew in a sandbox that was paused with `leaves` and has other files now.

        Every process has ended, files in memory are gone, and the shell has the state that those files hold.
        Hosts stay attached. Raises `SandboxFileError` if something of before cannot be undone.
        """
        await self._ask("renew")

    async def wake(self) -> None:
        """Let every process of a paused sandbox go on."""
        await self._ask("wake")

    @contextlib.asynccontextmanager
    async def terminal(self, rows: int, columns: int) -> AsyncIterator[Terminal]:
        """Open another shell, on a pseudo-terminal; leaving hangs up. The agent's shell is not affected."""
        async with self._connection.call("terminal", rows=rows, columns=columns) as call:
            yield Terminal(self._connection, call)

    @contextlib.asynccontextmanager
    async def program(
        self, name: str, command: Sequence[str], in_line: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[Program]:
        """Use a long-lived program, which is started with `command` if none of this name runs.

        It has the environment of commands and begins in the workspace. It lives on when this is left, also if
        this host dies; what it prints while no host uses it waits in its pipes. Hosts and callers use it one
        after the other: entering waits for those before, and `in_line` is called once the place among them
        is taken. Raises `SandboxFileError` if it cannot be started, and `ChannelBroken` for a sandbox of a
        release without programs.
        """
        async with self._connection.call("program", name=name, command=list(command)) as call:
            if in_line is not None:
                await in_line()
            while call.report is None and not call.answered:
                await self._connection.news(call)
            if call.report is None:
                await self._connection.next(call)  # raises the refusal
            yield Program(self._connection, call, wire.parse_json(call.report or b"{}"))

    @contextlib.asynccontextmanager
    async def running_program(self, name: str) -> AsyncIterator[Program | Literal["absent", "busy"]]:
        """Use a long-lived program as `program` does, but neither start it nor wait for others.

        Yields `absent` if it does not run, and `busy` while another call uses it or waits for it.
        """
        async with self._connection.call("program", name=name, command=[]) as call:
            while call.report is None and not call.answered:
                await self._connection.news(call)
            if call.report is not None:
                yield Program(self._connection, call, wire.parse_json(call.report))
                return
            _, payload = await self._connection.next(call)
            yield "absent" if wire.parse_json(payload).get("absent") else "busy"

    async def put(
        self,
        path: str,
        content: AsyncIterable[bytes],
        *,
        within: str | None = None,
        digest: bool = False,
        executable: bool = False,
    ) -> FileStat:
        """Write a file, and the folders above it. It appears under its name only when it is complete.

        `within` refuses a path that leads out of that folder, links followed. With `digest`, boxd computes
        the SHA-256 of what arrived; an `executable` file can be run. Raises `SandboxFileError`, and what
        `content` raises. Then, and after a cancellation, nothing partial is left behind.
        """
        asked = {"path": path, "within": within, "digest": digest, "executable": executable}
        return read_file(wire.parse_json(await upload(self._connection, asked, content)))

    async def get(self, path: str, *, within: str | None = None) -> AsyncGenerator[bytes, None]:
        """Read a regular file in chunks. Closing the generator ends it. Raises `SandboxFileError`.

        `within` refuses a path that leads out of that folder, links followed.
        """
        async with self._connection.call("get", path=path, within=within) as call:
            while True:
                kind, payload = await self._connection.next(call)
                if kind == wire.RESULT:
                    return
                _, data = await self._connection.data(call, payload)
                yield data

    async def changes(self, path: str, since: str | None = None) -> Changes:
        """Return what changed below a folder since a mark; without one, only the mark of now.

        The sandbox remembers its newest 4 marks, and they survive the loss of this connection.
        """
        answer = await self._ask("changes", path=path, since=since)
        return Changes(
            tuple(read_file(entry) for entry in answer["files"]),
            tuple(map(str, answer["gone"])),
            str(answer["mark"]),
            answer["known"] is True,
            answer["cut"] is True,
        )

    async def list(self, path: str) -> list[FileStat]:
        """Return all regular files below a folder, links not followed: at most 20,000."""
        answer = await self._ask("list", path=path)
        return [read_file(entry) for entry in answer["files"]]

    async def stat(self, path: str) -> FileStat:
        """Return a regular file's size and time of change. Raises `SandboxFileError`."""
        return read_file(await self._ask("stat", path=path))

    async def remove(self, path: str, *, within: str | None = None) -> None:
        """Remove a file or a link. Raises `SandboxFileError`."""
        await self._ask("remove", path=path, within=within)

    async def listen(self, ports: Iterable[int]) -> None:
        """Make more ports transparent in a sandbox that has a `Network`, all or none.

        Raises `SandboxFileError` if a port cannot be taken: a program inside may have it. Raises
        `ChannelBroken` for a sandbox without a network.
        """
        await self._ask("listen", ports=list(ports))

    @contextlib.asynccontextmanager
    async def dial(self, name: str, port: int) -> AsyncIterator[Dialed]:
        """Connect to a target from inside the sandbox, as a program there would.

        The sandbox asks its newest host with an egress, which may be this one. Leaving closes the connection.
        Raises `ConnectDenied`, and `SandboxFileError` if the connection fails.
        """
        async with self._connection.call("dial", name=name, port=port) as call:
            while call.report is None and not call.answered:
                await self._connection.news(call)
            if call.report is None:
                await self._connection.next(call)  # raises the refusal
            yield Dialed(self._connection, call)

    async def _ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        async with self._connection.call(method, **arguments) as call:
            _, payload = await self._connection.next(call)
            return wire.parse_json(payload)

    async def aclose(self, reason: SandboxError | None = None) -> None:
        """Close the stream; commands in the sandbox go on. Idempotent.

        Calls that are under way raise `reason`, or that the connection was closed.
        """
        await self._connection.aclose(reason)
