"""The session: reads requests and answers them, one JSON object a line, on descriptors of its own.

A request is `{"id", "code", "known", "live", "variables"}`; the answer `{"id", "status", "outputs",
"left_out"}`, where the outputs are those of `record`. `status` is `ok`, `error`, `interrupted`, or `unknown`
for a request with `known` whose id was never run here. An id that was run is answered again and not run
again. With `live`, lines `{"id", "live"}` with new outputs come while the cell runs, if the host reads them.
`variables` are the environment variables that differ from those at the start, null for one that is removed.
SIGINT interrupts the cell that runs, and nothing else. The first line that the session writes is
`{"ready": true}`.

A question is `{"id", "asked"}`, see `asked`; its answer is `{"id", "answer"}`.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import json
import os
import signal
import sys

from agent_kernel.tools.code_interpreter.inside.asked import answer as answer_to
from agent_kernel.tools.code_interpreter.inside.capture import Capture
from agent_kernel.tools.code_interpreter.inside.engine import PlainEngine, words_of
from agent_kernel.tools.code_interpreter.inside.hooks import Hooks
from agent_kernel.tools.code_interpreter.inside.live import Live
from agent_kernel.tools.code_interpreter.inside.names import NamesFile
from agent_kernel.tools.code_interpreter.inside.r import REngine
from agent_kernel.tools.code_interpreter.inside.record import CellRecord
from agent_kernel.tools.code_interpreter.inside.screen import Screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REMEMBERED = 3
"""Answers that are kept, for a host that takes over."""

INTERRUPTED = "KeyboardInterrupt"


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
        self._limit = limit
        self._known: collections.OrderedDict[str, bytes] = collections.OrderedDict()
        self._capture = Capture()
        self._screen = Screen(self._capture)
        self._live = Live(self._answers)
        Hooks(self._screen).install()
        signal.signal(signal.SIGINT, self._interrupt)
        self._engine = self._made(language)
        self._names = NamesFile(names)

    def _made(self, language: str) -> Any:
        if language == "r":
            return REngine(self._screen)
        try:
            from agent_kernel.tools.code_interpreter.inside.ipython import IPythonEngine

            return IPythonEngine(self._screen)
        except ImportError:
            return PlainEngine(self._screen)

    def _interrupt(self, number: int, frame: object) -> None:
        if self._running:
            self._running = False  # one interrupt, one exception
            raise KeyboardInterrupt

    def serve(self) -> None:
        """Answer requests until there are no more."""
        self._write(b'{"ready": true}\n')
        for line in self._requests:
            try:
                request = json.loads(line.decode("ascii"))
                if "asked" in request:
                    self._ask(str(request["id"]), dict(request["asked"]))
                    continue
                key, code, known = str(request["id"]), request["code"], request["known"]
                live = request.get("live") is True
                self._adopt(dict(request.get("variables") or {}))
            except (ValueError, KeyError, TypeError):  # half a line of a host that is gone
                continue
            if key in self._known:
                answer = self._known[key]
            elif known:
                answer = _answer(key, "unknown", CellRecord(0))
            else:
                answer = self._known[key] = self._run(key, code, live)
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

    def _ask(self, key: str, question: dict[str, Any]) -> None:
        """Answer a question, which SIGINT interrupts as it does a cell."""
        signal.signal(signal.SIGINT, self._interrupt)
        self._running = True
        try:
            found = answer_to(self._engine, question)
        except KeyboardInterrupt:
            found = {"failed": "KeyboardInterrupt"}
        finally:
            self._running = False
        if os.getpid() != self._pid:
            os._exit(0)
        self._write(json.dumps({"id": key, "answer": found}).encode("ascii") + b"\n")

    def _run(self, key: str, code: str, live: bool) -> bytes:
        self._number += 1
        record = CellRecord(self._limit, self._live.begin(key) if live else None)
        self._capture.begin(record)
        signal.signal(signal.SIGINT, self._interrupt)  # a cell may have changed it
        status = "error"
        try:
            self._running = True
            try:
                status = "ok" if self._engine.run(code, self._number) else "error"
                self._screen.figures()
            finally:
                self._running = False
        except KeyboardInterrupt:
            status = "interrupted"
            self._screen.error(INTERRUPTED, "", [INTERRUPTED])
        except BaseException as error:  # noqa: BLE001 (a figure that cannot be drawn, for instance)
            status = "error"
            name, words = type(error).__name__, words_of(error)
            self._screen.error(name, words, [f"{name}: {words}"])
        if os.getpid() != self._pid:  # the cell has forked, and this is the child
            self._capture.flush()
            os._exit(0)
        with contextlib.suppress(Exception):  # whatever a cell has made of its variables
            self._names.write(self._engine.names())
        self._capture.end()
        self._live.end()
        return _answer(key, status, record)


def _answer(key: str, status: str, record: CellRecord) -> bytes:
    value = {"id": key, "status": status, "outputs": record.outputs(), "left_out": record.left_out}
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
