"""Processes of `agent-kernel`, forked from one that has imported the package.

Starting Python and importing the runtime takes over a second of processor time. The standard library's fork
server does it once for all tests of a process; each command is then a process like any other, with an id, an
environment and streams of its own, that any signal can end. How Python itself starts the command is checked
in `tests/cli`, and for kernels wherever another program starts them (`tests/kernel/front_ends`, for example).
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from multiprocessing import reduction
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any

from tests import trust

CHECKOUT = Path(__file__).parents[1]
ELSEWHERE = {"boxd", "integrations", "sandbox_scripts", "__main__.py"}
"""Folders whose modules run in sandboxes or other environments, and the module that runs a command."""
SELDOM = Path("agent_kernel", "models", "anthropic")
"""A folder whose modules few processes need: its SDK takes longer to import than all the rest."""


def _modules() -> list[str]:
    """Return the names of the modules that are imported once: all that processes of the host may need."""
    paths = [path.relative_to(CHECKOUT) for path in sorted(CHECKOUT.glob("agent_kernel/**/*.py"))]
    wanted = [path for path in paths if not ELSEWHERE & {*path.parts} and SELDOM not in path.parents]
    ours = [".".join(path.with_suffix("").parts) for path in wanted]
    names = [name.removesuffix(".__init__") for name in ours]
    return ["tests.forked", *names, "docker", "uvicorn.lifespan.on"]


trust.share()
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_modules())


class _Streams:
    """File descriptors that become a process's standard input, output and error."""

    def __init__(self, *handles: Any) -> None:
        self._handles = handles

    def __reduce__(self) -> tuple[Any, ...]:
        return _Streams, tuple(reduction.DupFd(handle) for handle in self._handles)

    def install(self) -> None:
        """Replace this process's streams. Called in the new process, where each handle is a copy."""
        for number, handle in enumerate(self._handles):
            copy = handle.detach()
            os.dup2(copy, number)
            os.close(copy)
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def _run(words: tuple[str, ...], environment: dict[str, str], streams: _Streams, folder: Path | None) -> None:
    gc.freeze()  # what was imported before stays
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background jobs of a shell
    streams.install()
    if folder is not None:
        os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    found = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [folder for folder in found if folder and folder not in sys.path]
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        exec(words[1], {"__name__": "__main__"})
        return
    from agent_kernel.cli import main

    if words[0] == "kernel":
        _lead_session()
    sys.exit(main(words))


def _lead_session() -> None:
    """Do what Jupyter does before it starts a kernel, and end with the fork server, as kernels do."""
    os.setsid()
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # nobody reads the pipe


class Forked:
    """A process that runs `agent-kernel WORDS`, or with `-c` as the first word the code that follows it.

    `stdout` and `stdin` are text streams; `stderr` goes nowhere, or to the given descriptor. The streams are
    closed by `wait`, and the process is ended with that of the tests at the latest. `folder` is its working
    directory, if not that of the tests.
    """

    def __init__(
        self,
        *words: str,
        environment: dict[str, str],
        stderr: int | None = None,
        folder: Path | None = None,
    ) -> None:
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        with Path(os.devnull).open("wb") as nowhere:
            streams = _Streams(theirs_in, theirs_out, nowhere.fileno() if stderr is None else stderr)
            arguments = (words, environment, streams, folder)
            self._process = _FORKS.Process(target=_run, args=arguments, daemon=True)
            self._process.start()
        os.close(theirs_in)
        os.close(theirs_out)
        self.stdin: IO[str] = os.fdopen(ours_in, "w")
        self.stdout: IO[str] = os.fdopen(ours_out)
        self.stderr = None

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, if the process still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 60) -> int:
        """Wait at most `timeout` seconds for the end, close the streams and return the exit code."""
        assert wait([self._process.sentinel], timeout), f"process {self.pid} still runs after {timeout} s"
        self._process.join()
        for stream in (self.stdin, self.stdout):
            stream.close()
        code = self._process.exitcode
        assert code is not None
        return code


def serve(*flags: str, environment: dict[str, str], stderr: int | None = None) -> tuple[Forked, str]:
    """Start `agent-kernel serve` on a free port; return it and its base URL once it serves."""
    process = Forked("serve", "--port", "0", *flags, environment=environment, stderr=stderr)
    line = process.stdout.readline()
    assert line.startswith("Serving "), f"{line!r}; exit code {process.poll()}"
    return process, line.split()[1]
