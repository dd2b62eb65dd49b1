"""Servers of other projects, which log when they are ready.

They take a port, not a socket. One that was free may be another process's when they bind it.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

TRIES = 5
TAKEN = re.compile("already in use|cannot bind", re.IGNORECASE)


@dataclass
class LoggingServer:
    """A server process, the port it was given, and all that it has logged."""

    process: subprocess.Popen[str]
    port: int
    log: list[str] = field(default_factory=list)

    def wait_for(self, pattern: str) -> re.Match[str] | None:
        """Read its log up to a line with this pattern; return the match, or None if the server ends first."""
        try:
            for line in self._stream():
                self.log.append(line)
                if found := re.search(pattern, line):
                    return found
        except BaseException:  # the test was stopped
            self.process.kill()
            raise
        return None

    @contextmanager
    def drained(self, end: signal.Signals) -> Iterator[None]:
        """Read its log meanwhile, or it would stop at a full pipe; then end it."""
        reader = threading.Thread(target=lambda: self.log.extend(self._stream()))
        reader.start()
        try:
            yield
        finally:
            self.process.send_signal(end)
            self.process.wait(60)
            reader.join()
            self._stream().close()

    def _stream(self) -> IO[str]:
        stream = self.process.stderr or self.process.stdout
        assert stream is not None
        return stream


def free_port() -> int:
    """Return a port of loopback that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def logging_server(
    start: Callable[[int], subprocess.Popen[str]],
    ready: str,
    *,
    answers: Callable[[LoggingServer, re.Match[str]], bool] | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[LoggingServer]:
    """Run a server until the block ends; start it again on another port if one was taken.

    `start` starts it with a pipe for its log: standard error, or standard output with both. `ready` is the
    pattern of a line. `answers` is for a server that says so too early: it waits until it is true, and
    returns False if the server ended instead.
    """
    for _ in range(TRIES):
        port = free_port()
        server = LoggingServer(start(port), port)
        found = server.wait_for(ready)
        with server.drained(end):
            if found and (answers is None or answers(server, found)):
                yield server
                return
        assert TAKEN.search("".join(server.log)), "".join(server.log)
    raise AssertionError(f"each of {TRIES} ports was taken by another process")
