"""The packages of the corpus: installed once per lock, without dependencies, and how their files are read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.cache import folder_for, installed

FOLDER = Path(__file__).parent
LOCK = FOLDER / "requirements.txt"
ENVIRONMENT = folder_for("tables", LOCK)
PYTHON = ENVIRONMENT / "bin" / "python"
SITE = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


class CorpusMissing(Exception):
    """The environment could not be made; the message says why."""


@dataclass(frozen=True)
class DataFile:
    """A file of a package, and the options with which pandas reads it."""

    path: str
    options: dict[str, Any]

    @property
    def package(self) -> str:
        """The package that ships it."""
        return self.path.partition("/")[0]

    @property
    def format(self) -> str:
        """The last suffix that names a format."""
        return next(s for s in reversed(Path(self.path).suffixes) if s not in (".gz", ".bz2")).lower()

    @property
    def awkward(self) -> bool:
        """Whether pandas needs to be told how to read it."""
        usual = {".tsv": {"sep": "\t"}, ".json": {"under": "data"}}.get(self.format, {})
        return bool(self.options) and self.options != usual


def data_files() -> list[DataFile]:
    """Return the files of the corpus."""
    lines = (FOLDER / "files.tsv").read_text().splitlines()
    return [DataFile(path, json.loads(options)) for path, options in (line.split("\t", 1) for line in lines)]


def install() -> Path:
    """Install the packages unless the cache has them; return their folder. Raises `CorpusMissing`."""
    installed(ENVIRONMENT, _install)
    return SITE


def _install() -> None:
    venv = [sys.executable, "-m", "venv", str(ENVIRONMENT)]
    options = ["--quiet", "--no-deps", "--no-compile", "--require-hashes", "--only-binary", ":all:"]
    pip = [str(PYTHON), "-m", "pip", "install", *options]
    for command in (venv, [*pip, "-r", str(LOCK)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise CorpusMissing(f"{LOCK} cannot be installed: {(done.stdout + done.stderr)[-2000:]}")


def references(files: Sequence[DataFile]) -> list[dict[str, Any]]:
    """Return what pandas and pyarrow read of these files."""
    tasks = "\n".join(json.dumps({"path": file.path, "options": file.options}) for file in files)
    done = subprocess.run(
        [PYTHON, FOLDER / "reference.py", SITE], input=tasks, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
