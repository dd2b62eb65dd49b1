"""The Python session: reads requests and answers them, one JSON object a line, on descriptors of its own.

A request is `{"id", "code", "known"}`; the answer `{"id", "status", "logs", "images", "left_out"}`. `status`
is `ok`, `error`, `interrupted`, or `unknown` for a request with `known` whose id was never run here. An id
that was run is answered again and not run again. SIGINT interrupts the cell that runs, and nothing else.
"""

from __future__ import annotations

import base64
import collections
import fcntl
import json
import os
import signal
import sys

from agent_kernel.tools.code_interpreter.inside.capture import Capture
from agent_kernel.tools.code_interpreter.inside.engine import PlainEngine
from agent_kernel.tools.code_interpreter.inside.pictures import Pictures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REMEMBERED = 3
"""Answers that are kept, for a host that takes over."""

INTERRUPTED = "KeyboardInterrupt\n"


class PythonSession:
    """One session, for the life of its process. `limit` is the most characters of a cell's logs."""

    def __init__(self, limit: int) -> None:
        self._requests = open(_private(0), "rb")  # noqa: SIM115 (for life)
        self._answers = open(_private(1), "wb")  # noqa: SIM115
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._pid = os.getpid()
        self._running = False
        self._number = 0
        self._pictures = Pictures()
        self._known: collections.OrderedDict[str, bytes] = collections.OrderedDict()
        self._capture = Capture(limit)
        signal.signal(signal.SIGINT, self._interrupt)
        self._engine = self._made()

    def _made(self) -> Any:
        try:
            from agent_kernel.tools.code_interpreter.inside.ipython import IPythonEngine

            return IPythonEngine(lambda kind, data: self._pictures.add(kind, data), self._capture.add)
        except ImportError:
            return PlainEngine(self._show, self._capture.add)

    def _interrupt(self, number: int, frame: object) -> None:
        if self._running:
            self._running = False  # one interrupt, one exception
            raise KeyboardInterrupt

    def _show(self, value: Any) -> None:
        """Display a value: its picture, or what `repr` says."""
        if not self._pictures.of(value):
            self._capture.add(repr(value) + "\n")

    def serve(self) -> None:
        """Answer requests until there are no more."""
        for line in self._requests:
            try:
                request = json.loads(line.decode("ascii"))
                key, code, known = str(request["id"]), request["code"], request["known"]
            except (ValueError, KeyError, TypeError):  # half a line of a host that is gone
                continue
            if key in self._known:
                answer = self._known[key]
            elif known:
                answer = self._answer(key, "unknown", "", Pictures())
            else:
                answer = self._known[key] = self._run(key, code)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            self._answers.write(answer)
            self._answers.flush()

    def _run(self, key: str, code: str) -> bytes:
        self._pictures = Pictures()
        self._number += 1
        self._capture.begin()
        signal.signal(signal.SIGINT, self._interrupt)  # a cell may have changed it
        status = "error"
        try:
            self._running = True
            try:
                status = "ok" if self._engine.run(code, self._number) else "error"
                self._pictures.open_figures()
            finally:
                self._running = False
        except KeyboardInterrupt:
            status = "interrupted"
            self._capture.add(INTERRUPTED)
        except BaseException as error:  # noqa: BLE001 (a figure that cannot be drawn, for instance)
            status = "error"
            self._capture.add(f"{type(error).__name__}: {error}\n")
        if os.getpid() != self._pid:  # the cell has forked, and this is the child
            self._capture.flush()
            os._exit(0)
        return self._answer(key, status, self._capture.end(), self._pictures)

    def _answer(self, key: str, status: str, logs: str, pictures: Pictures) -> bytes:
        images = [
            {"type": kind, "data": base64.b64encode(data).decode("ascii")} for kind, data in pictures.found
        ]
        value = {"id": key, "status": status, "logs": logs, "images": images, "left_out": pictures.left_out}
        return json.dumps(value).encode("ascii") + b"\n"


def _private(number: int) -> int:
    """Return a copy of a descriptor that no program started by a cell gets, far from the usual numbers."""
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 200)
    except OSError:  # so many are not allowed
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)


def main(limit: int) -> None:
    """Serve on standard input and output."""
    session = PythonSession(limit)
    sys.path.insert(0, "")
    sys.argv = [""]
    session.serve()
