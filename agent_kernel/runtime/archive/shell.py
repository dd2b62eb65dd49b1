"""The state of a sandbox's shell: taken along without what belongs to the sandbox, and set in another one.

Variables that have the value with which every command of the sandbox begins are left out: the other backend
has its own, such as `PATH`. Placeholders of secrets are among them.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

from agent_kernel.errors import SandboxError, SandboxFileError
from agent_kernel.sandboxes.boxd.commands.state import END, as_script
from agent_kernel.sandboxes.channel import Channel, Exited, Output
from agent_kernel.sandboxes.launch import STATE

SECONDS = 30.0
"""Seconds to wait for a command that runs in the shell."""

LARGEST = 8 << 20
"""Bytes of a shell's state."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SAVE = r"""
( while IFS= read -r -d '' __boxd_entry; do
    __boxd_name=${__boxd_entry%%=*}
    if [[ ${!__boxd_name-} == "${__boxd_entry#*=}" ]]; then unset -v "$__boxd_name"; fi
  done <FILE.base
  __boxd_dump FILE ) 2>/dev/null
"""


class ShellBusy(SandboxError):
    """A command that does not end holds the shell."""


@dataclass(frozen=True)
class SavedShell:
    """A shell's state, and the `PATH` that every command of its sandbox begins with."""

    state: bytes
    path: str

    def to_json(self) -> bytes:
        """Return it as it is in an archive."""
        text = self.state.decode("utf-8", "surrogateescape")
        return json.dumps({"state": text, "path": self.path}).encode()


async def save_shell(channel: Channel) -> SavedShell:
    """Return the state of a sandbox's shell. Raises `ShellBusy`, `SandboxError`."""
    file = f"{STATE}/moved-{secrets.token_hex(4)}"
    base = await _base(channel)
    known = {name: value for name, value in base.items() if _VARIABLE.fullmatch(name)}
    entries = b"".join(f"{n}={v}\0".encode("utf-8", "surrogateescape") for n, v in known.items())
    try:
        await channel.put(f"{file}.base", _once(entries))
        await _run(channel, _SAVE.replace("FILE", file))
        state = await _content(channel, file)
    finally:
        await _remove(channel, file, f"{file}.base")
    if not state.endswith(END):
        raise SandboxError("The shell's state could not be read in the sandbox.")
    return SavedShell(state, base.get("PATH", ""))


async def restore_shell(channel: Channel, saved: SavedShell) -> None:
    """Let a sandbox's shell take over a state. Raises `ShellBusy`, `SandboxError`."""
    file = f"{STATE}/moved-{secrets.token_hex(4)}"
    path = (await _base(channel)).get("PATH", "")
    state = _with_path(saved.state, saved.path, path)
    try:
        await channel.put(file, _once(as_script(state)))
        await _run(channel, f". {file}")
    finally:
        await _remove(channel, file)


def _with_path(state: bytes, was: str, now: str) -> bytes:
    """Return the state with the folders of this sandbox's `PATH` instead of those of the other's."""

    def replaced(found: re.Match[bytes]) -> bytes:
        return found[0].replace(was.encode(), now.encode())

    return re.sub(rb'^declare -\S+ PATH=".*"$', replaced, state, flags=re.MULTILINE) if was else state


async def _base(channel: Channel) -> dict[str, str]:
    """Return the variables that every command of the sandbox begins with."""
    printed = bytearray()
    async with channel.program(f"env-{secrets.token_hex(4)}", ["env", "-0"]) as program:
        while isinstance(piece := await program.read(), Output):
            printed += piece.data[: LARGEST - len(printed)]
    entries = bytes(printed).decode("utf-8", "surrogateescape").split("\0")
    return dict(each.split("=", 1) for each in entries if "=" in each)


async def _run(channel: Channel, command: str) -> None:
    try:
        async with asyncio.timeout(SECONDS), aclosing(channel.run(command)) as events:
            async for event in events:
                if not isinstance(event, Output | Exited):
                    raise SandboxError("The shell's state could not be moved.")
    except TimeoutError:
        raise ShellBusy("A command is running in the container's shell.", hint="Stop it first.") from None


async def _content(channel: Channel, path: str) -> bytes:
    content = bytearray()
    async with aclosing(channel.get(path)) as pieces:
        async for piece in pieces:
            content += piece
            if len(content) > LARGEST:
                raise SandboxError(f"The shell's state has more than {LARGEST:,} bytes.")
    return bytes(content)


async def _remove(channel: Channel, *paths: str) -> None:
    for path in paths:
        with suppress(SandboxFileError):  # it may not have been written
            await channel.remove(path)


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(content), 256 << 10):
        yield content[start : start + (256 << 10)]
