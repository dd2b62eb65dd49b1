"""Run the server in several processes, which end together."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

Ready = Callable[[str], None]
"""A worker calls it with its URL once it accepts connections."""

Work = Callable[[Ready], int]
"""Serves until SIGINT or SIGTERM, and returns the process's exit status."""

_SIGNALS = frozenset((signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))


class WorkerFailed(Exception):
    """A worker ended before it served; it has said why. `status` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"A worker ended with the status {status} before it served.")
        self.status = status


class Supervisor:
    """Runs `work` in `count` forked processes. Use it before this process has any thread."""

    def __init__(self, count: int, work: Work) -> None:
        self._count = count
        self._work = work
        self._workers: set[int] = set()
        self._ready: Ready = lambda url: None
        self._watched, self._alive = os.pipe()

    def run(self, announce: Ready) -> int:
        """Serve until SIGINT or SIGTERM, and return the exit status; in a worker, that of `work`.

        The first worker begins alone, so that whatever is wrong with the settings or the store is said once.
        `announce` gets the URL when all accept connections. A worker that ends is replaced. If this process
        ends in any way, so do the workers.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        url: str | None = ""
        try:
            for _ in range(self._count):
                if (url := self._start()) is None:
                    return self._work(self._ready)
            announce(url or "")
            while signal.sigwait(_SIGNALS) == signal.SIGCHLD:
                for _ in range(self._ended()):
                    if self._start() is None:
                        return self._work(self._ready)
        except WorkerFailed as failed:
            self._stop()
            return failed.status
        self._stop()
        return 0

    def _start(self) -> str | None:
        """Begin a worker, and return its URL once it serves; None in the worker. Raises `WorkerFailed`."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            os.close(self._alive)
            self._ready = _teller(write)
            self._workers.clear()
            threading.Thread(target=_end_with, args=(self._watched,), name="supervisor", daemon=True).start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return None
        os.close(write)
        with os.fdopen(read) as told:
            url = told.read()
        if not url:
            raise WorkerFailed(max(1, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
        self._workers.add(pid)
        return url

    def _ended(self) -> int:
        """Return how many workers have ended."""
        before = len(self._workers)
        for pid in tuple(self._workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._workers.discard(pid)
                log.error("A server process has ended (%d). Another takes its place.", status)
        return before - len(self._workers)

    def _stop(self) -> None:
        """End the workers as SIGTERM does, and wait for them."""
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in self._workers:
            os.waitpid(pid, 0)


def _teller(write: int) -> Ready:
    def ready(url: str) -> None:
        with os.fdopen(write, "w") as told:
            told.write(url)

    return ready


def _end_with(watched: int) -> None:
    """End this process as SIGTERM does when its supervisor has ended."""
    os.read(watched, 1)
    os.kill(os.getpid(), signal.SIGTERM)
