"""Resolve an allowed name once, check every address, and connect to a checked one.

Nothing is resolved a second time, so an answer that changes between check and connection has no effect.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, zip_longest
from typing import Any

from agent_kernel.egress.addresses import refusal
from agent_kernel.egress.names import Address, literal
from agent_kernel.egress.policy import NetworkRule
from agent_kernel.errors import ConnectDenied
from agent_kernel.sandboxes.near.eager import InTime
from agent_kernel.sandboxes.near.waiting import writable

Resolver = Callable[[str], Coroutine[Any, Any, Sequence[Address]]]
"""Returns the addresses of a canonical name, best first. Raises `OSError` if there are none."""

Dialler = Callable[[Address, int], Coroutine[Any, Any, socket.socket]]
"""Connects to an address and a port, and returns a non-blocking socket. Raises `OSError`."""

RESOLVE_SECONDS = 15.0
CONNECT_SECONDS = 30.0
MAX_ADDRESSES = 8
_STAGGER_SECONDS = 0.25
_LOOKUPS = 16
_AT_ONCE = getattr(socket, "SOCK_NONBLOCK", 0)
"""Makes a socket that never waits; 0 where that takes a second call."""


@cache
def _threads() -> ThreadPoolExecutor:
    """Return threads for lookups only: slow name servers must not hold up the loop's other threads."""
    return ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="egress-resolve")


async def system_resolver(name: str) -> Sequence[Address]:
    """Ask the host's resolver for a name.

    The name is absolute, so that no search domain is appended. A name without a dot is looked up as it is:
    an operator's private service can be in the hosts file. Raises `OSError`. Cancelling returns at once.
    """
    asked = f"{name}." if "." in name else name
    lookup = asyncio.get_running_loop().run_in_executor(_threads(), _lookup, asked)
    return await lookup


def _lookup(name: str) -> Sequence[Address]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses = [literal(str(target[0])) for *_, target in found]
    return [address for address in dict.fromkeys(addresses) if address is not None]


async def checked_addresses(name: str, rule: NetworkRule, resolver: Resolver) -> list[Address]:
    """Return at most 8 addresses of a name that `rule` allows, IPv6 and IPv4 in turn.

    Raises `ConnectDenied` if there are addresses and none is allowed, `OSError` if the name has none.
    """
    address = literal(name)
    if address is not None:
        found: Sequence[Address] = [address]
    else:
        try:
            found = await InTime(resolver(name), RESOLVE_SECONDS)
        except TimeoutError:
            raise OSError(None, "the name server did not answer in time") from None
    if not found:
        raise OSError(None, "the name has no address")
    if len(found) == 1:
        if why := refusal(found[0], rule):
            raise ConnectDenied(why)
        return [found[0]]
    refusals = {each: refusal(each, rule) for each in found}
    allowed = [each for each, why in refusals.items() if why is None]
    if not allowed:
        raise ConnectDenied(next(why for why in refusals.values() if why))
    families = ([each for each in allowed if each.version == version] for version in (6, 4))
    return [each for each in chain(*zip_longest(*families)) if each is not None][:MAX_ADDRESSES]


async def dial(address: Address, port: int) -> socket.socket:
    """Connect to an address. Raises `OSError`. Cancelling closes the socket."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    connected = socket.socket(family, socket.SOCK_STREAM | _AT_ONCE)
    try:
        if not _AT_ONCE:
            connected.setblocking(False)
        try:
            connected.connect((socket.inet_ntop(family, address.packed), port))
        except BlockingIOError:
            await _connection(connected)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the server is about to accept
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except OSError as error:
        connected.close()
        raise OSError(error.errno, os.strerror(error.errno or 0)) from None  # asyncio's text has the address
    except BaseException:
        connected.close()
        raise
    return connected


async def _connection(connected: socket.socket) -> None:
    """Wait until a socket is connected. Raises `OSError`."""
    try:
        connected.getpeername()  # a server on this machine has answered already
    except OSError:
        await writable(connected)
        if number := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number)) from None


async def connect_first(
    addresses: Sequence[Address], port: int, dialler: Dialler
) -> tuple[Address, socket.socket]:
    """Connect to the first address that answers; begin with the next one after 250 ms or a failure.

    Raises the first `OSError` if all fail, or `OSError` after 30 s. Cancelling closes every socket.
    """
    waiting = list(addresses)
    attempts: dict[asyncio.Task[socket.socket], Address] = {}
    running: set[asyncio.Task[socket.socket]] = set()
    failures: list[BaseException] = []
    try:
        if len(waiting) == 1:  # most often, and it needs no task
            return waiting[0], await InTime(dialler(waiting[0], port), CONNECT_SECONDS)
        async with asyncio.timeout(CONNECT_SECONDS):
            while waiting or running:
                if waiting:
                    address = waiting.pop(0)
                    task = asyncio.create_task(dialler(address, port))
                    attempts[task] = address
                    running.add(task)
                done, running = await asyncio.wait(
                    running,
                    timeout=_STAGGER_SECONDS if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for each in done:
                    if error := each.exception():
                        failures.append(error)
                    else:
                        return attempts.pop(each), each.result()
    except TimeoutError:
        raise OSError(None, "the server did not answer in time") from None
    finally:
        for each in attempts:
            each.add_done_callback(_close_late)
            each.cancel()
    raise failures[0]


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that connected although another one was used."""
    if not attempt.cancelled() and not attempt.exception():
        attempt.result().close()
