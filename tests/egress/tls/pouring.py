"""A process with an HTTPS server that pours without end, and programs that ask it and read nothing.

    python -m tests.egress.tls.pouring FOLDER PROTOCOL COUNT

It prints the server's port, reads the port of the way there and the file with its authority, and prints a
line when everything is asked. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.settings

from tests.egress.tls.outside import NAME, Given, HttpsServer

PIECE = bytes(1 << 16)


class Endless(list[bytes]):
    """Pieces of a body that never ends."""

    def __iter__(self) -> Any:
        while True:
            yield PIECE


def request(protocol: str) -> bytes:
    if protocol != "h2":
        return f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()
    http = h2.connection.H2Connection(h2.config.H2Configuration())
    http.initiate_connection()
    http.increment_flow_control_window((1 << 30) - 1)
    http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
    http.send_headers(
        1,
        [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", "/")],
        end_stream=True,
    )
    return http.data_to_send()


def ask(port: int, context: ssl.SSLContext, protocol: str) -> ssl.SSLSocket:
    connected = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=NAME)
    connected.sendall(request(protocol))
    return connected


async def main(folder: str, protocol: str, count: str) -> None:
    server = HttpsServer(Path(folder), [protocol])
    server.answer = lambda got: Given(pieces=Endless())
    await server.start()
    print(server.port, flush=True)
    port, trusted = (await asyncio.to_thread(sys.stdin.readline)).split()
    context = ssl.create_default_context(cafile=trusted)
    context.set_alpn_protocols([protocol])
    held = [await asyncio.to_thread(ask, int(port), context, protocol) for _ in range(int(count))]
    print(len(held), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
