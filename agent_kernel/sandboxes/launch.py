"""The command lines that start boxd inside a sandbox, the same under every backend."""

from __future__ import annotations

import functools
import json
import marshal
import zlib
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any

from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.network import DNS_PORT, PROXY_PORT, Network, variables

SOURCE = Path(__file__).parent / "boxd"
HOME = "/opt/agent-kernel"
"""The folder with the `boxd` package, in a sandbox that has it as files."""

PROGRAMS = f"{HOME}/boxd/bin"
"""The folder of the programs that come first in the PATH of commands."""

_CALL = 200
"""Bytes of the call that ends the text, with spaces after it."""

_ANY_PYTHON = 2
"""The version of the format of `marshal` that every Python reads."""

PROGRAM_SECONDS = 60
"""Seconds that a sandbox waits for its program to arrive on the stream."""

RUN = "/run/boxd"
SOCKET = f"{RUN}/socket"

READY = b"boxd listens\n"
"""The line that boxd prints when hosts can attach to it."""

STATE = "/var/lib/agent-kernel"
"""A folder inside that checkpoints include, in addition to the workspace."""

SAVED_SHELL = f"{STATE}/shell"
"""The shell's state at a checkpoint. The first shell begins with it."""

KEPT_WORKSPACE = f"{STATE}/workspace"
"""The folder in a checkpoint for the files of a workspace on a volume, which engines leave out."""

NO_EDITOR = (
    'echo "There is no terminal here, so no editor can run. Write files with a here-document, sed or '
    'python3, and give git its message with -m." >&2; false'
)
"""The editor of commands: a shell command, as programs expect it."""

ENVIRONMENT = {
    "EDITOR": NO_EDITOR,
    "VISUAL": NO_EDITOR,
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
"""Variables of every command, in addition to the image's; none are the host's."""


_FROM_FILES = f"import sys; sys.path.insert(0, {HOME!r}); from boxd.__main__ import main; main(sys.argv[1:])"

_HELD = """\
import os, sys
os.write({held}, b"1")
os.read({held}, 1) or sys.exit("its files did not arrive")
os.close({held})
"""

_FROM_STREAM = """\
import os, select, sys
program = b""
while len(program) < {size}:
    piece = select.select([0], [], [], {seconds})[0] and os.read(0, {size} - len(program))
    program += piece or sys.exit("its program did not arrive")
    del piece
{run}
"""


def serve_options(
    *,
    listen: str,
    lease: float,
    disk: int | None = None,
    network: Network | None = None,
    streamed: bool = False,
) -> dict[str, Any]:
    """Return what boxd is told at its start. `listen` is `path:<socket>` or `fd:<listening socket>`."""
    return {
        "listen": listen,
        "programs": PROGRAMS,
        "streamed": streamed,
        "lease": lease,
        "disk": disk,
        "run": RUN,
        "workspace": WORKSPACE,
        "saved": SAVED_SHELL,
        "kept": KEPT_WORKSPACE,
        "environment": ENVIRONMENT | (variables() | dict(network.variables) if network else {}),
        "network": network and {"proxy": PROXY_PORT, "resolver": DNS_PORT, "ports": network.ports},
    }


def serve_argv(
    *,
    python: str,
    listen: str,
    lease: float,
    disk: int | None = None,
    network: Network | None = None,
    streamed: bool = False,
    held: int | None = None,
    start: str | None = None,
) -> list[str]:
    """Return the command of process 1. The `serve_options` are its last word.

    If `streamed`, it first reads `program` from its standard input. Otherwise it has the package as files.
    With an inherited socket `held` it writes a byte there before anything else, and waits for one. `start` is
    Python code that loads `program` in another way.
    """
    options = serve_options(listen=listen, lease=lease, disk=disk, network=network, streamed=streamed)
    if start is None:
        start = _FROM_FILES
        if streamed:
            start = _FROM_STREAM.format(size=len(program()), seconds=PROGRAM_SECONDS, run=run_program())
    if held is not None:
        start = _HELD.format(held=held) + start
    return [*_python(python), start, json.dumps(options)]


def attach_argv(*, python: str, path: str = SOCKET) -> list[str]:
    """Return the command that hands its standard input and output to a boxd that listens at `path`."""
    return [*_python(python), (SOURCE / "attach.py").read_text() + "\nsys.exit(attach(sys.argv[1]))", path]


def _python(python: str) -> list[str]:
    return [python, "-I", "-S", "-B", "-c"]


def program() -> bytes:
    """Return the boxd package: what begins it as Python text, its modules as sources, and compiled."""
    return _program()[0]


def run_program() -> str:
    """Return the Python code that runs `program` when that is in a variable of this name."""
    return f"exec(program[:{_program()[1]}])"


@functools.cache
def _program() -> tuple[bytes, int]:
    sources, code = {}, {}
    for path in sorted(SOURCE.rglob("*.py")):
        words = ["boxd", *path.relative_to(SOURCE).with_suffix("").parts]
        name = ".".join(words).removesuffix(".__init__")
        loader = SourceFileLoader(name, str(path))
        sources[name] = loader.get_source(name) or ""
        if isinstance(module := loader.get_code(name), CodeType):  # from Python's own cache if it is there
            code[name] = _without_host(module, f"{'/'.join(words)}.py")
    boot = sources.pop("boxd.boot")
    del code["boxd.boot"]
    texts = marshal.dumps(sources, _ANY_PYTHON)
    packed = zlib.compress(marshal.dumps(code), level=1)
    size = len(boot) + _CALL
    call = f"\nbegin(globals(), {(size, size + len(texts))}, {MAGIC_NUMBER!r})\n"
    return boot.encode() + call.ljust(_CALL).encode() + texts + packed, size


def _without_host(code: CodeType, name: str) -> CodeType:
    """Return the code with `name` instead of the file's path on this host."""
    parts = (_without_host(part, name) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_filename=name, co_consts=tuple(parts))
