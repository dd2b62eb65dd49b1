"""Cells that begin with %%bash run in one bash process: variables, functions and the folder are kept."""

import pathlib
import shlex
import subprocess
import sys
import tempfile
from typing import Any


class _Cells:
    def __init__(self) -> None:
        self._folder = pathlib.Path()
        self._process: Any = None

    def bash(self, line: str, cell: str) -> None:
        """Run a cell. Its output appears when it has ended; an exit code other than 0 raises an error."""
        self._start()
        files = [self._folder / name for name in ("cell", "out", "err")]
        files[0].write_text(cell)
        source, out, err = (shlex.quote(str(file)) for file in files)
        code = self._run(f". {source} >{out} 2>{err} </dev/null; echo $?\n")
        sys.stdout.write(files[1].read_text(errors="replace"))
        sys.stdout.flush()
        sys.stderr.write(files[2].read_text(errors="replace"))
        if code and "--no-raise-error" not in line:
            raise subprocess.CalledProcessError(code, "bash")

    def _start(self) -> None:
        if self._process is None or self._process.poll() is not None:
            pipe = subprocess.PIPE
            self._folder = pathlib.Path(tempfile.mkdtemp(prefix="bash-cells-"))
            self._process = subprocess.Popen(["bash"], stdin=pipe, stdout=pipe, text=True)

    def _run(self, command: str) -> int:
        self._process.stdin.write(command)
        self._process.stdin.flush()
        code = self._process.stdout.readline()
        return int(code or self._process.wait())  # nothing comes if the cell has ended bash


bash = _Cells().bash
