"""Sandboxes for Inspect (`inspect_ai`): `sandbox="agent_kernel"` runs a sample's commands in one of ours.

Needs `pip install "jupyter-agent-kernel[inspect]"`. Inspect finds this module by an entry point. The sandbox
is the one that `AGENT_KERNEL_SANDBOX` and the other settings choose. The contract is that of
`inspect_ai.util.SandboxEnvironment` 0.3.285; its self check runs in the tests.

Two things differ from other providers. Commands of one sample run one after the other. A command that times
out is not repeated, because it may have changed something.
"""

from __future__ import annotations

import contextlib
import errno
import posixpath
import re
import secrets
import shlex
from collections.abc import AsyncIterator
from typing import Any

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentLimits,
    SandboxUserUnsupportedError,
    sandboxenv,
)

from agent_kernel import config
from agent_kernel.cli.compose import choose_backend
from agent_kernel.errors import SandboxFileError
from agent_kernel.sandboxes.base import WORKSPACE, Backend, SandboxRef, SandboxSpec
from agent_kernel.sandboxes.channel import Channel, Exited, Output

LEASE = 600.0
"""Seconds that a sandbox outlives Inspect, if Inspect was killed."""

CANNOT_EXECUTE = 126
CHUNK = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_LOOK = (
    'if [ -d "$f" ]; then echo folder; '
    'elif [ -e "$f" ]; then stat -L -c "%a %s" -- "$f"; else echo absent; fi'
)


@sandboxenv(name="agent_kernel")
class AgentKernelSandbox(SandboxEnvironment):
    """One sandbox for one sample. Files with relative paths are in /mnt/data."""

    def __init__(self, backend: Backend, ref: SandboxRef, channel: Channel) -> None:
        super().__init__()
        self._backend = backend
        self._ref = ref
        self._channel = channel
        self._user: str | None = None

    @classmethod
    async def sample_init(
        cls, task_name: str, config_: Any, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """Make the sandbox of a sample. Raises what `Backend.create` raises; nothing is left behind then."""
        backend, _ = await choose_backend(config.load())
        try:
            ref = await backend.create(SandboxSpec(f"inspect-{secrets.token_hex(8)}", lease=LEASE))
            try:
                channel = await Channel.open(await backend.stream(ref))
            except BaseException:
                await backend.delete(ref)
                raise
        except BaseException:
            await backend.aclose()
            raise
        return {"default": cls(backend, ref, channel)}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config_: Any,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Delete the sandboxes of a sample with everything in them."""
        for environment in environments.values():
            await environment.as_type(cls).aclose()

    async def aclose(self) -> None:
        """Delete the sandbox. Raises `SandboxError` that names the remains."""
        try:
            await self._channel.aclose()
            await self._backend.delete(self._ref)
        finally:
            await self._backend.aclose()

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,  # noqa: A002 (the contract's name)
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a program; see `SandboxEnvironment.exec`. Cancelling kills it with all that it started.

        Raises `TimeoutError`, `PermissionError` for a file that cannot be executed,
        `SandboxUserUnsupportedError`, `OutputLimitExceededError`, `SandboxError`.
        """
        program = [*_environment(env), *await self._as_user(user), *cmd]
        async with self._stdin(input) as source:
            text = f"(cd -- {shlex.quote(_path(cwd or ''))} && exec {shlex.join(program)} < {source})"
            result = await self._run(text, timeout)
        if result.returncode == CANNOT_EXECUTE and "ermission denied" in result.stderr:
            raise PermissionError(errno.EACCES, result.stderr.strip(), cmd[0])
        return result

    async def _run(self, command: str, timeout: float | None = None) -> ExecResult[str]:
        most = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        printed = {"stdout": bytearray(), "stderr": bytearray()}
        async with contextlib.aclosing(self._channel.run(command, timeout=timeout)) as events:
            async for event in events:
                if isinstance(event, Output):
                    stream = printed[event.stream]
                    stream += event.data
                    if len(stream) > most:
                        limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR
                        raise OutputLimitExceededError(limit, _text(stream[:most]))
                elif isinstance(event, Exited):
                    out, err = _text(printed["stdout"]), _text(printed["stderr"])
                    return ExecResult(event.code == 0, event.code, out, err)
        raise TimeoutError(f"The command did not end within {timeout} s.")

    async def _as_user(self, user: str | None) -> list[str]:
        """Return the program that switches to `user`, as a list; empty for the sandbox's own user.

        Raises `SandboxUserUnsupportedError` where only one user can run programs.
        """
        if user is None:
            return []
        if self._user is None:
            self._user = (await self._run("id -u; id -un")).stdout
        uid, name = self._user.split()
        if user in (uid, name):
            return []
        if uid != "0":
            raise SandboxUserUnsupportedError(f"This sandbox runs every program as {name}, not as {user}.")
        return ["/usr/sbin/runuser", "-u", user, "--"]

    @contextlib.asynccontextmanager
    async def _stdin(self, content: str | bytes | None) -> AsyncIterator[str]:
        """Put a program's input into a file of the sandbox, and remove it afterwards."""
        if content is None:
            yield "/dev/null"
            return
        path = f"/tmp/.inspect-{secrets.token_hex(8)}"  # noqa: S108 (inside the sandbox)
        await self._channel.put(path, _chunks(content))
        try:
            yield path
        finally:
            await self._channel.remove(path)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Write a file, and the folders above it. It appears only when it is complete.

        Raises `IsADirectoryError`, `PermissionError` (for a file that nobody may write, too), `OSError`.
        """
        mode, _ = await self._look(file, or_absent=True)
        if mode and not mode & 0o222:
            raise PermissionError(errno.EACCES, "Permission denied", file)
        try:
            await self._channel.put(_path(file), _chunks(contents), executable=bool(mode & 0o100))
        except SandboxFileError as error:
            raise _as_expected(error, file) from error

    async def read_file(self, file: str, text: bool = True) -> Any:
        """Return a file's content, as text with its line ends kept, or as bytes.

        Raises `FileNotFoundError`, `IsADirectoryError`, `PermissionError` (for a file that nobody may read,
        too), `UnicodeDecodeError`, `OutputLimitExceededError`, `OSError`.
        """
        mode, size = await self._look(file)
        if not mode & 0o444:
            raise PermissionError(errno.EACCES, "Permission denied", file)
        if size > SandboxEnvironmentLimits.MAX_READ_FILE_SIZE:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None)
        content = bytearray()
        try:
            async with contextlib.aclosing(self._channel.get(_path(file))) as chunks:
                async for chunk in chunks:
                    content += chunk
        except SandboxFileError as error:
            raise _as_expected(error, file) from error
        return content.decode() if text else bytes(content)

    async def _look(self, file: str, *, or_absent: bool = False) -> tuple[int, int]:
        """Return a file's mode and size; zeros for an absent one with `or_absent`. Raises as `read_file`."""
        found = (await self._run(f"(f={shlex.quote(_path(file))}; {_LOOK})")).stdout.split()
        if found == ["folder"]:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", file)
        if len(found) != 2:
            if or_absent:
                return 0, 0
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", file)
        return int(found[0], 8), int(found[1])

    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """Return the command that opens a terminal in the sandbox."""
        return SandboxConnection(
            type="agent_kernel", command=f"agent-kernel containers attach {self._ref.id}"
        )


def _path(file: str) -> str:
    return posixpath.join(WORKSPACE, file)


def _environment(variables: dict[str, str] | None) -> list[str]:
    if not variables:
        return []
    for name in variables:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of an environment variable.")
    return ["/usr/bin/env", "--", *(f"{name}={value}" for name, value in variables.items())]


async def _chunks(content: str | bytes) -> AsyncIterator[bytes]:
    data = content.encode() if isinstance(content, str) else content
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def _text(data: bytearray) -> str:
    return data.decode("utf-8", "replace")


def _as_expected(error: SandboxFileError, file: str) -> OSError:
    """Return the error that Inspect expects."""
    if "ermission" in str(error):
        return PermissionError(errno.EACCES, "Permission denied", file)
    return OSError(errno.EIO, str(error), file)
