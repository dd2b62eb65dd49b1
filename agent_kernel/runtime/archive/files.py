"""The host's end of packing and unpacking: a program in the sandbox does it, and its bytes are a stream.

What the sandbox sends is hostile input. It is only written to a file here, and checked before it is used.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from agent_kernel.errors import SandboxError
from agent_kernel.runtime.archive.tree import ROOTS
from agent_kernel.sandboxes.channel import Channel, Exited, Program

MOST_SAID = 1 << 20
"""Bytes of a program's report."""

_INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True)
class LeftOut:
    """Something in a sandbox that is not in the archive, and why."""

    path: str
    why: str


@dataclass
class PackReport:
    """What was left out: the first 1,000 of `count`. It is complete once all bytes were read."""

    left_out: Sequence[LeftOut] = ()
    count: int = 0


async def packed(channel: Channel, report: PackReport) -> AsyncGenerator[bytes, None]:
    """Yield a sandbox's files as a compressed tar archive, and fill the report at the end.

    Closing the generator ends the program. Raises `SandboxError`.
    """
    said = bytearray()
    async with channel.program(f"pack-{secrets.token_hex(4)}", _command("pack")) as program:
        ended = False
        try:
            async with aclosing(_pieces(program, said)) as pieces:
                async for piece in pieces:
                    yield piece
            ended = True
        finally:
            if not ended:
                await asyncio.shield(program.kill())
    _read_report(bytes(said), report)


async def unpack(channel: Channel, content: AsyncIterable[bytes]) -> None:
    """Replace a sandbox's files by those of a compressed tar archive that was checked.

    Raises `SandboxError`; the sandbox then holds a part of the files. Cancelling ends the program.
    """
    said = bytearray()
    async with channel.program(f"unpack-{secrets.token_hex(4)}", _command("unpack")) as program:
        sending = asyncio.create_task(_send(program, content))
        ended = False
        try:
            async with aclosing(_pieces(program, said)) as pieces:
                async for _ in pieces:
                    pass
            ended = True
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if not ended:
                await asyncio.shield(program.kill())


async def _send(program: Program, content: AsyncIterable[bytes]) -> None:
    async for piece in content:
        await program.write(piece)
    await program.write_eof()


async def _pieces(program: Program, said: bytearray) -> AsyncGenerator[bytes, None]:
    """Yield what a program prints, until it ends well. Raises `SandboxError` with its last words."""
    while True:
        piece = await program.read()
        if isinstance(piece, Exited):
            if piece.code:
                words = bytes(said[-400:]).decode(errors="replace").strip().rpartition("\n")[2]
                raise SandboxError(
                    f"The sandbox did not move its files: {words or f'exit code {piece.code}'}",
                    hint="Free disk space and memory in the container, then try again.",
                )
            return
        if piece.stream == "stderr":
            said += piece.data[: MOST_SAID - len(said)]
        else:
            yield piece.data


def _command(program: str) -> list[str]:
    folders = [f"{name.decode()}={folder.decode()}" for name, folder in ROOTS.items()]
    return ["python3", "-I", "-c", (_INSIDE / f"{program}.py").read_text(encoding="utf-8"), *folders]


def _read_report(said: bytes, report: PackReport) -> None:
    try:
        found = json.loads(said)
        report.left_out = [
            LeftOut(str(path)[:4000], str(why)[:4000]) for path, why in found["left_out"][:1000]
        ]
        report.count = max(int(found["count"]), len(report.left_out))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SandboxError("The sandbox did not say what it packed.") from error
