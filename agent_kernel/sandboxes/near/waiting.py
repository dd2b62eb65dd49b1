"""Wait for a socket in the event loop.

asyncio gets descriptors here and elsewhere: it describes a socket object at each registration, for an error
that it then drops.
"""

from __future__ import annotations

import asyncio
import socket


async def readable(connected: socket.socket) -> None:
    """Wait until a socket has something to read, or has ended. One task at a time."""
    loop, fd = asyncio.get_running_loop(), connected.fileno()
    told: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, tell, told)
    try:
        await told
    finally:
        loop.remove_reader(fd)


async def writable(connected: socket.socket) -> None:
    """Wait until a socket takes more, or has ended. One task at a time."""
    loop, fd = asyncio.get_running_loop(), connected.fileno()
    told: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, tell, told)
    try:
        await told
    finally:
        loop.remove_writer(fd)


def tell(told: asyncio.Future[None]) -> None:
    """Let a waiter go on. Idempotent."""
    if not told.done():
        told.set_result(None)
