"""How boxd is started inside a sandbox, the same way under every backend."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from agent_kernel.sandboxes.base import WORKSPACE

SOURCE = Path(__file__).parent / "boxd"
HOME = "/opt/agent-kernel"
"""The folder that holds the `boxd` package inside a sandbox."""

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


def serve_argv(*, python: str, listen: str, lease: float, disk: int | None = None) -> list[str]:
    """The sandbox's process 1. `listen` is `path:<socket>` or `fd:<inherited listening socket>`."""
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
    return [*_boxd(python), "serve", json.dumps(options)]


def attach_argv(*, python: str, path: str = SOCKET) -> list[str]:
    """The program that hands its own standard input and output to a boxd listening at `path`."""
    return [*_boxd(python), "attach", path]


def _boxd(python: str) -> list[str]:
    start = f"import sys; sys.path.insert(0, {HOME!r}); from boxd.__main__ import main; main(sys.argv[1:])"
    return [python, "-I", "-S", "-B", "-c", start]


def archive() -> bytes:
    """A tar of the boxd package, to be unpacked at `HOME`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(SOURCE.glob("*.py")):
            member = tarfile.TarInfo(f"boxd/{path.name}")
            content = path.read_bytes()
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
