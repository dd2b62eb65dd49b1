"""Start a Jupyter server, and return when it takes connections.

Jupyter Server looks for a free port, gives it back, announces it, and binds it only then. Another process may
take the port in between; the server then ends. See findings/jupyter_server_announces_first.sh.
"""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

ON_LOOPBACK = ("--ip=127.0.0.1", "--port=0", "--ServerApp.port_retries=50")
TRIES = 5
TAKEN = "is already in use"


@dataclass(frozen=True)
class RunningServer:
    """A server process, the line that announced its address, and all that it logged until it ended."""

    process: subprocess.Popen[str]
    announced: re.Match[str]
    log: list[str] = field(default_factory=list)


@contextmanager
def running_server(
    command: Sequence[str], environment: Mapping[str, str], announcement: str
) -> Iterator[RunningServer]:
    """Run the server until the block ends.

    `announcement` is the pattern of a line of its log, with a group `port` or `socket`, a quoted path.
    """
    for _ in range(TRIES):
        with _process(command, environment, announcement) as server:
            if _takes_connections(server):
                yield server
                return
        assert TAKEN in "".join(server.log), "".join(server.log)
    raise AssertionError(f"each of {TRIES} ports was taken by another process")


@contextmanager
def _process(
    command: Sequence[str], environment: Mapping[str, str], announcement: str
) -> Iterator[RunningServer]:
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    drain = threading.Thread(target=lines.extend, args=(process.stderr,))
    try:
        found = None
        for line in process.stderr:
            lines.append(line)
            if found := re.search(announcement, line):
                break
        assert found, "".join(lines)
        drain.start()
        yield RunningServer(process, found, lines)
    finally:
        process.terminate()  # shuts its kernels down
        process.wait(30)
        if drain.ident is not None:
            drain.join()
        process.stderr.close()


def _takes_connections(server: RunningServer) -> bool:
    """Return False when the server ended instead."""
    while server.process.poll() is None:
        try:
            _connect(server.announced.groupdict())
        except (ConnectionRefusedError, FileNotFoundError):
            time.sleep(0.02)  # nothing tells when it listens
        else:
            return server.process.poll() is None
    return False


def _connect(address: Mapping[str, str | None]) -> None:
    if path := address.get("socket"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(urllib.parse.unquote(path))
    else:
        socket.create_connection(("127.0.0.1", int(address["port"] or 0)), timeout=5).close()
