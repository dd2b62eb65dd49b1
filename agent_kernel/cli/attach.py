"""`agent-kernel containers attach ID`: this terminal becomes one in the container.

It is a shell of its own beside the agent's, in the same files and processes. Whoever owns the container is
not disturbed: boxd serves several hosts at once. While it is attached the container does not expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent_kernel.cli.opened import containers_with
from agent_kernel.config import Settings
from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.sandboxes.channel import Terminal

LEAVE = b"\x1d"
"""Ctrl-], as telnet has it: a hung program takes every other key for itself."""

TERMINATED = 143


def attach(settings: Settings, container_id: str) -> int:
    """Attach until the shell ends, Ctrl-] is typed or the terminal is closed; the shell's exit code.

    Raises `InvalidRequest` where there is no terminal, `NotFound`, `SandboxGone`, `SandboxUnreachable`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidRequest(
            "attach needs a terminal, and its input or output is none.", hint="Run it in a terminal window."
        )
    return asyncio.run(_attached(settings, container_id))


async def _attached(settings: Settings, container_id: str) -> int:
    began = time.monotonic()
    async with (
        containers_with(settings, container_id) as containers,
        containers.use(container_id, to_run=True) as channel,
    ):
        containers.audit.write("terminal", container=container_id)
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
            async with channel.terminal(size.lines, size.columns) as terminal:
                print(f"Attached to {container_id}; Ctrl-] or exit leaves.", file=sys.stderr)
                with _raw(sys.stdin.fileno()):
                    return await _carried(terminal)
        finally:
            seconds = time.monotonic() - began
            containers.audit.write("terminal.end", container=container_id, seconds=seconds)


@contextlib.contextmanager
def _raw(fd: int) -> Iterator[None]:
    """Every key goes to the container, Ctrl-C too."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        print(flush=True)


async def _carried(terminal: Terminal) -> int:
    """Carry both directions and the window's size, until one side has had enough."""
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
                end.result()  # raises what went wrong
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
    """Hand on what is typed; returns at Ctrl-] and when the terminal has been closed."""
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
