"""Start a Jupyter server, and return when it takes connections.

Jupyter Server looks for a free port, gives it back, announces it, and binds it only then. Another process may
take the port in between; the server then ends. See findings/jupyter_server_announces_first.sh.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.logging_server import LoggingServer, logging_server

ON_LOOPBACK = ("--ip=127.0.0.1", "--port=0", "--ServerApp.port_retries=50")


@contextmanager
def running_server(
    command: Sequence[str], environment: Mapping[str, str], announcement: str
) -> Iterator[tuple[LoggingServer, str]]:
    """Run the server until the block ends; yield the line that announced its address as well.

    `announcement` is the pattern of that line, with a group `port` or `socket`, a quoted path.
    """
    said = []

    def start(_: int) -> subprocess.Popen[str]:
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def answers(server: LoggingServer, announced: re.Match[str]) -> bool:
        said.append(announced[0])
        return _takes_connections(server.process, announced.groupdict())

    with logging_server(start, announcement, answers=answers) as server:
        yield server, said[-1]


def _takes_connections(process: subprocess.Popen[str], address: Mapping[str, str | None]) -> bool:
    while process.poll() is None:
        try:
            _connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            time.sleep(0.02)  # nothing tells when it listens
        else:
            return process.poll() is None
    return False


def _connect(address: Mapping[str, str | None]) -> None:
    if path := address.get("socket"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(urllib.parse.unquote(path))
    else:
        socket.create_connection(("127.0.0.1", int(address["port"] or 0)), timeout=5).close()
