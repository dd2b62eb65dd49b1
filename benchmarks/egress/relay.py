"""Bare relays in asyncio, without sandbox, checks and records: what Python and its event loop cost."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator

from benchmarks.egress.contenders import OnHost, free_port, running

RELAY = """
import asyncio, sys
async def pipe(reader, writer):
    while data := await reader.read(1 << 18):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
async def serve(reader, writer):
    try:
        head = await reader.readuntil(b"\\r\\n\\r\\n")
    except asyncio.IncompleteReadError:  # someone has looked whether it listens
        writer.close()
        return
    host, _, port = head.split()[1].decode().partition(":")
    outer, inner = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\\r\\n\\r\\n")
    await asyncio.gather(pipe(reader, inner), pipe(outer, writer))
    inner.close()
    writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def asyncio_relay(port: int) -> AsyncIterator[OnHost]:
    """Connect through the bare proxy, which passes everything."""
    own = free_port()
    async with running(sys.executable, "-c", RELAY, str(own), port=own):
        yield OnHost(port, ("127.0.0.1", own))


HANDED_OVER = """
import array, asyncio, os, socket, sys
own, port = int(sys.argv[1]), int(sys.argv[2])
inside, host = socket.socketpair()
if os.fork():
    host.close()
    listening = socket.create_server(("127.0.0.1", own), backlog=1024)
    while True:
        with listening.accept()[0] as program:
            rights = array.array("i", [program.fileno()])
            inside.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
inside.close()
host.setblocking(False)
async def pipe(loop, source, target):
    while data := await loop.sock_recv(source, 1 << 18):
        await loop.sock_sendall(target, data)
    target.shutdown(socket.SHUT_WR)
async def serve(loop, fd):
    with socket.socket(fileno=fd) as program, socket.socket() as server:
        program.setblocking(False)
        server.setblocking(False)
        await loop.sock_connect(server, ("127.0.0.1", port))
        await asyncio.gather(pipe(loop, program, server), pipe(loop, server, program))
async def main():
    loop, serving, gone = asyncio.get_running_loop(), set(), asyncio.Event()
    def take():
        data, fds, _, _ = socket.recv_fds(host, 1, 1)
        if not data:
            gone.set()
        for fd in fds:
            task = asyncio.create_task(serve(loop, fd))
            serving.add(task)
            task.add_done_callback(serving.discard)
    loop.add_reader(host, take)
    await gone.wait()
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def handed_over(port: int) -> AsyncIterator[OnHost]:
    """Connect to a process that accepts, and hands each connection to another one, which carries it."""
    own = free_port()
    async with running(sys.executable, "-c", HANDED_OVER, str(own), str(port), port=own):
        yield OnHost(own)
