"""The session: reads requests and answers them, one JSON object a line, on descriptors of its own.

A request is `{"id", "code", "known", "variables"}`; the answer `{"id", "status", "logs", "images",
"left_out"}`. `status` is `ok`, `error`, `interrupted`, or `unknown` for a request with `known` whose id was
never run here. An id that was run is answered again and not run again. `variables` are the environment
variables that differ from those at the start, null for one that is removed. SIGINT interrupts the cell that
runs, and nothing else. The first line that the session writes is `{"ready": true}`.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import fcntl
import json
import os
import signal
import sys

from agent_kernel.tools.code_interpreter.inside.capture import Capture
from agent_kernel.tools.code_interpreter.inside.engine import PlainEngine
from agent_kernel.tools.code_interpreter.inside.names import NamesFile
from agent_kernel.tools.code_interpreter.inside.pictures import Pictures
from agent_kernel.tools.code_interpreter.inside.r import REngine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REMEMBERED = 3
"""Answers that are kept, for a host that takes over."""

INTERRUPTED = "KeyboardInterrupt\n"


class PythonSession:
    """One session, for the life of its process. `limit` is the most characters of a cell's logs.

    `names` is the path of the file with the names of its variables. `language` is `python` or `r`.
    """

    def __init__(self, limit: int, names: str, language: str) -> None:
        self._requests = open(_private(0), "rb")  # noqa: SIM115 (for life)
        self._answers = open(_private(1), "wb")  # noqa: SIM115
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self._pid = os.getpid()
        self._began_with = dict(os.environ)
        self._adopted: dict[str, str | None] = {}
        self._running = False
        self._number = 0
        self._pictures = Pictures()
        self._known: collections.OrderedDict[str, bytes] = collections.OrderedDict()
        self._capture = Capture(limit)
        signal.signal(signal.SIGINT, self._interrupt)
        self._engine = self._made(language)
        self._names = NamesFile(names)

    def _made(self, language: str) -> Any:
        if language == "r":
            return REngine(lambda kind, data: self._pictures.add(kind, data))
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
        self._write(b'{"ready": true}\n')
        for line in self._requests:
            try:
                request = json.loads(line.decode("ascii"))
                key, code, known = str(request["id"]), request["code"], request["known"]
                self._adopt(dict(request.get("variables") or {}))
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
            self._write(answer)

    def _adopt(self, variables: dict[str, str | None]) -> None:
        """Set environment variables. Only what is new is set: a cell may have changed the others."""
        before, self._adopted = self._adopted, variables
        restored = {name: self._began_with.get(name) for name in before.keys() - variables.keys()}
        new = {name: value for name, value in variables.items() if (name, value) not in before.items()}
        self._engine.adopt({**restored, **new})

    def _write(self, line: bytes) -> None:
        self._answers.write(line)
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
        with contextlib.suppress(Exception):  # whatever a cell has made of its variables
            self._names.write(self._engine.names())
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


def main(limit: int, names: str, language: str) -> None:
    """Serve on standard input and output."""
    session = PythonSession(limit, names, language)
    sys.path.insert(0, "")
    sys.argv = [""]
    session.serve()
