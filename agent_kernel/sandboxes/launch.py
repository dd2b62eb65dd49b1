"""How boxd is started inside a sandbox, the same way under every backend."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from agent_kernel.sandboxes.base import WORKSPACE

SOURCE = Path(__file__).parent / "boxd"
HOME = "/opt/agent-kernel"
"""The folder that holds the `boxd` package inside a sandbox that has it as files."""

PROGRAM_SECONDS = 60
"""How long a sandbox waits for its program, where that comes down the stream."""

RUN = "/run/boxd"
SOCKET = f"{RUN}/socket"

READY = b"boxd listens\n"
"""boxd's one line of standard output, when it listens at a path and can be attached to."""

STATE = "/var/lib/agent-kernel"
"""A folder inside that a checkpoint takes along, beside the workspace."""

SAVED_SHELL = f"{STATE}/shell"
"""The shell's variables, functions and directory as a checkpoint found them; a first shell begins there."""

KEPT_WORKSPACE = f"{STATE}/workspace"
"""Where a checkpoint has the files of a workspace on a volume, which no engine takes along by itself."""

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "NO_COLOR": "1",
    "MPLBACKEND": "Agg",  # there is no screen
    "PYTHONUNBUFFERED": "1",  # output is seen while the command runs
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
"""What every command's environment has beside the image's own; nothing of the host's."""


_FROM_FILES = f"import sys; sys.path.insert(0, {HOME!r}); from boxd.__main__ import main; main(sys.argv[1:])"

_FROM_STREAM = """\
import os, select, sys
program = b""
while len(program) < {size}:
    piece = select.select([0], [], [], {seconds})[0] and os.read(0, {size} - len(program))
    program += piece or sys.exit("it was not told what to do")
exec(program)
"""


def serve_argv(
    *, python: str, listen: str, lease: float, disk: int | None = None, streamed: bool = False
) -> list[str]:
    """The sandbox's process 1. `listen` is `path:<socket>` or `fd:<inherited listening socket>`.

    `streamed`: it first reads `program` from its standard input. Otherwise it has the package as files.
    """
    options = {
        "listen": listen,
        "lease": lease,
        "disk": disk,
        "run": RUN,
        "workspace": WORKSPACE,
        "saved": SAVED_SHELL,
        "kept": KEPT_WORKSPACE,
        "environment": ENVIRONMENT,
    }
    start = _FROM_STREAM.format(size=len(program()), seconds=PROGRAM_SECONDS) if streamed else _FROM_FILES
    return [*_python(python), start, json.dumps(options)]


def attach_argv(*, python: str, path: str = SOCKET) -> list[str]:
    """The program that hands its own standard input and output to a boxd listening at `path`."""
    return [*_python(python), (SOURCE / "attach.py").read_text() + "\nsys.exit(attach(sys.argv[1]))", path]


def _python(python: str) -> list[str]:
    return [python, "-I", "-S", "-B", "-c"]


@functools.cache
def program() -> bytes:
    """The boxd package in one piece, as a Python program."""
    sources = {}
    for path in sorted(SOURCE.rglob("*.py")):
        words = ["boxd", *path.relative_to(SOURCE).with_suffix("").parts]
        sources[".".join(words).removesuffix(".__init__")] = path.read_text()
    return f"{sources.pop('boxd.boot')}\nbegin({sources!r})\n".encode()
