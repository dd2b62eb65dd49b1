"""A bare proxy in asyncio, without sandbox, checks and records: what Python and its event loop cost."""

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
