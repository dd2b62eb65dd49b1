"""The operator's side of a preset: the variables, files and programs by which a tool is configured.

Nothing here comes from a sandbox. Programs run in the root folder, so that a project's own configuration,
which may have been downloaded, is not read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAX_FILE = 1 << 20
"""Bytes of a configuration file. A larger one is not read."""

MAX_OUTPUT = 1 << 20
RUN_SECONDS = 20.0


@dataclass(frozen=True)
class Operator:
    """Where tools are configured. `environment` has the variables of the tools only; the repr hides them."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    root: Path = Path("/")

    @property
    def home(self) -> Path:
        """The user's home folder; one that does not exist if the environment has none."""
        return Path(self.environment.get("HOME") or self.root / "nonexistent")

    def system(self, path: str) -> Path:
        """Return a path of the system, such as `etc/apt`."""
        return self.root / path

    def text(self, path: Path) -> str:
        """Return a configuration file's text; empty if it cannot be read or has more than 1 MiB."""
        try:
            if not path.is_file():
                return ""
            with path.open("rb") as file:
                content = file.read(MAX_FILE + 1)
        except OSError:
            return ""
        return content.decode(errors="replace") if len(content) <= MAX_FILE else ""

    def program(self, *names: str) -> str | None:
        """Return the path of the first program that is installed."""
        path = self.environment.get("PATH", "")
        return next(filter(None, (shutil.which(name, path=path) for name in names)), None)

    def run(self, command: Sequence[str], **variables: str) -> str | None:
        """Return what a command prints. None: it failed, printed more than 1 MiB or took more than 20 s."""
        try:
            process = subprocess.Popen(
                command,
                env={**self.environment, **variables},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None
        with process:
            return _printed(process)


def _printed(process: subprocess.Popen[bytes]) -> str | None:
    """Return a process's output if it succeeds. One that takes too long ends with all that it started."""
    try:
        output, _ = process.communicate(timeout=RUN_SECONDS)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(error, subprocess.TimeoutExpired):
            return None
        raise
    if process.returncode != 0 or len(output) > MAX_OUTPUT:
        return None
    return output.decode(errors="replace")
