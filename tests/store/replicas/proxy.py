"""A load balancer without stickiness: each connection goes to the next server that accepts it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator


class RoundRobin:
    """Listens on a free port of loopback. `servers` are the ports behind it, by the names of the servers."""

    def __init__(self) -> None:
        self.servers: dict[str, int] = {}
        self.url = ""
        self.open = Counter[str]()
        self.served = Counter[str]()
        self._next = 0
        self._carried: set[asyncio.Task[None] | None] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[RoundRobin]:
        """Listen."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            try:
                yield self
            finally:
                server.close()
                carried = [task for task in self._carried if task is not None]
                for task in carried:
                    task.cancel()
                await asyncio.gather(*carried, return_exceptions=True)

    def busiest(self) -> str:
        """Return the server with the most open connections."""
        return max(self.servers, key=lambda name: self.open[name])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._carried.add(task)
        try:
            name, there, back = await self._connected()
            self.open[name] += 1
            self.served[name] += 1
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                self.open[name] -= 1
                back.close()
        except ConnectionError:
            pass  # the client is told by the end of its connection
        finally:
            writer.close()
            self._carried.discard(task)

    async def _connected(self) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self.servers)):
            self._next += 1
            names = sorted(self.servers)
            name = names[self._next % len(names)]
            with contextlib.suppress(ConnectionError):
                return name, *await asyncio.open_connection("127.0.0.1", self.servers[name])
        raise ConnectionError("no server accepts connections")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (ConnectionError, RuntimeError):
        writer.close()
