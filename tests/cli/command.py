"""Call `agent-kernel` in the process of the test or in a forked one: Python takes a second to start."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from agent_kernel.cli import main
from tests.forked import Forked

Environment = Mapping[str, str]
Done = subprocess.CompletedProcess[str]


@contextmanager
def _environment(wanted: Environment | None) -> Iterator[None]:
    before = dict(os.environ)
    if wanted is not None:
        os.environ.clear()
        os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def call(*words: str, environment: Environment | None = None) -> Done:
    """Run the command with exactly this environment and return its exit code and its output.

    Without `environment` it has that of the tests.
    Not for `async` tests: the command runs an event loop, and a thread runs one loop at a time.
    """
    out, err = io.StringIO(), io.StringIO()
    with _environment(environment), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as end:  # the parser ends the process after help and after wrong words
            code = end.code if isinstance(end.code, int) else 1
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def start(*words: str, environment: Environment | None = None) -> Done:
    """Run the command in a forked process."""
    with tempfile.TemporaryFile("w+") as errors:
        process = Forked(*words, environment=dict(environment or os.environ), stderr=errors.fileno())
        printed = process.stdout.read()
        code = process.wait()
        errors.seek(0)
        return subprocess.CompletedProcess(words, code, printed, errors.read())


def launch(*words: str, environment: Environment | None = None, cwd: Path | None = None) -> Done:
    """Run the command as a person does: Python starts it. Its warnings are errors."""
    command = [sys.executable, "-W", "error", "-m", "agent_kernel", *words]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300)
