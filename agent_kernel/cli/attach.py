"""`agent-kernel containers attach ID`: open a terminal in a container.

It runs a new shell, separate from the agent's, which sees the same files and processes. The host that owns
the container is not disturbed, as boxd serves several hosts at once. The container does not expire while
attached.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent_kernel.cli.opened import containers_with
from agent_kernel.config import Settings
from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.sandboxes.channel import Terminal

LEAVE = b"\x1d"
"""Ctrl-], as in telnet. Every other key must reach the program in the container."""

TERMINATED = 143


def attach(settings: Settings, container_id: str) -> int:
    """Attach until the shell ends, Ctrl-] is typed or the terminal is closed. Return the shell's exit code.

    Raises `InvalidRequest` if stdin or stdout is not a terminal, and `NotFound`, `SandboxGone` and
    `SandboxUnreachable`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidRequest(
            "attach needs a terminal, but its input or output is redirected.",
            hint="Run it in a terminal window.",
        )
    return asyncio.run(_attached(settings, container_id))


async def _attached(settings: Settings, container_id: str) -> int:
    size = os.get_terminal_size(sys.stdout.fileno())
    async with (
        containers_with(settings, container_id) as containers,
        containers.terminal(container_id, size.lines, size.columns) as terminal,
    ):
        print(f"Attached to {container_id}. Press Ctrl-] or type exit to leave.", file=sys.stderr)
        with _raw(sys.stdin.fileno()):
            return await _carried(terminal)


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    """Put the terminal into raw mode, so that every key, even Ctrl-C, goes to the container."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        print(flush=True)


async def _carried(terminal: Terminal) -> int:
    """Copy input, output and window size changes until one side closes. Return the exit code."""
    loop = asyncio.get_running_loop()
    resized, told_to_end = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGWINCH, resized.set)
    loop.add_signal_handler(signal.SIGTERM, told_to_end.set)
    showing = asyncio.create_task(_show(terminal))
    ends = [showing, asyncio.create_task(_type(terminal)), asyncio.create_task(told_to_end.wait())]
    following = asyncio.create_task(_follow(terminal, resized))
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            if end.done():
                end.result()  # raises its exception, if any
        if showing.done():
            return showing.result()
        return TERMINATED if told_to_end.is_set() else 0
    finally:
        for task in (*ends, following):
            task.cancel()
        await asyncio.gather(*ends, following, return_exceptions=True)
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_signal_handler(signal.SIGTERM)


async def _show(terminal: Terminal) -> int:
    out = sys.stdout.fileno()
    while isinstance(piece := await terminal.read(), bytes):
        while piece:
            piece = piece[os.write(out, piece) :]
    return piece.code


async def _type(terminal: Terminal) -> None:
    """Forward typed input. Return on Ctrl-] and when the terminal has been closed."""
    fd = sys.stdin.fileno()
    while True:
        await _readable(fd)
        typed, leave, _ = os.read(fd, 4096).partition(LEAVE)
        if typed:
            await terminal.write(typed)
        if leave or not typed:
            return


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _follow(terminal: Terminal, resized: asyncio.Event) -> None:
    while True:
        await resized.wait()
        resized.clear()
        size = os.get_terminal_size(sys.stdout.fileno())
        await terminal.resize(size.lines, size.columns)
