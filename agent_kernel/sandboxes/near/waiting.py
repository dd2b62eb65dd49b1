"""Wait for a socket in the event loop."""

from __future__ import annotations

import asyncio
import socket


async def readable(connected: socket.socket) -> None:
    """Wait until a socket has something to read, or has ended. One task at a time."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connected, tell, told)
    try:
        await told
    finally:
        loop.remove_reader(connected)


async def writable(connected: socket.socket) -> None:
    """Wait until a socket takes more, or has ended. One task at a time."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()
    loop.add_writer(connected, tell, told)
    try:
        await told
    finally:
        loop.remove_writer(connected)


def tell(told: asyncio.Future[None]) -> None:
    """Let a waiter go on. Idempotent."""
    if not told.done():
        told.set_result(None)
