"""The packages of the corpus: installed once per lock, without dependencies, and how their files are read.

`python -m tests.kernel.tables.corpus.packages` asks pandas for all answers and stores them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.cache import folder_for, installed
from tests.environments import make, run
from tests.kernel.tables.corpus.selection import TEXT, TREES, format_of, package_of

FOLDER = Path(__file__).parent
LOCK = FOLDER / "requirements.txt"
SOURCES = FOLDER / "sources.txt"
OLD_WHEELS = FOLDER / "old_wheels.txt"
FILES = FOLDER / "files.tsv"
ANSWERS = FOLDER / "answers.jsonl"
GUIDE = FOLDER.parents[3] / "docs" / "guide" / "tables.md"
ENVIRONMENT = folder_for("tables", LOCK, SOURCES, OLD_WHEELS)
PYTHON = ENVIRONMENT / "bin" / "python"
SITE = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

_PIP = (sys.executable, "-m", "pip", "--quiet")
_PYTHON_36 = ("--python-version", "36", "--implementation", "cp", "--platform", "manylinux1_x86_64")

QUICK = 180
"""How many files the tests read in every run."""

TEXT_FORMATS = (*TEXT, *TREES)


@dataclass(frozen=True)
class DataFile:
    """A file of a package, and what it is: the options with which pandas reads it.

    Somebody looked at the file to write them. `options` is None if pandas has no options for it.
    """

    path: str
    options: dict[str, Any] | None

    @property
    def package(self) -> str:
        """The package that ships it."""
        return package_of(self.path)

    @property
    def format(self) -> str:
        """The suffix that names the format."""
        return format_of(self.path)

    @property
    def awkward(self) -> bool:
        """Whether a text file needs more options than its suffix says.

        These are for delimiter, encoding, header, lines around the table, ragged rows, dates, missing values.
        """
        usual = {".tsv": {"sep": "\t"}, ".tab": {"sep": "\t"}}
        return self.format in TEXT and self.options not in ({}, usual.get(self.format))


def data_files() -> list[DataFile]:
    """Return the files of the corpus."""
    lines = FILES.read_text("utf-8").splitlines()
    return [DataFile(path, json.loads(options)) for path, options in (line.split("\t") for line in lines)]


def quick_choice(files: Sequence[DataFile]) -> list[DataFile]:
    """Return the `QUICK` files that the tests read in every run; the slow tests read all.

    They are one of each format that the sandbox reads, every awkward text file, every difference that the
    guide lists, and other text files in the order of a hash of their paths.
    """
    listed = differences()
    binary = {file.format: file for file in files if file.format not in TEXT_FORMATS}.values()
    text = [file for file in files if file.format in TEXT_FORMATS]
    order = {file.path: hashlib.sha256(f"quick {file.path}".encode()).digest() for file in text}
    text.sort(key=lambda file: (not (file.awkward or file.path in listed), order[file.path]))
    return [*binary, *text[: QUICK - len(binary)]]


def answers() -> dict[str, Any]:
    """Return what pandas and pyarrow read, by path, as stored; the slow test reads all files again."""
    return dict(json.loads(line) for line in ANSWERS.read_text("utf-8").splitlines())


def differences() -> dict[str, str]:
    """Return the files that are read otherwise, as the guide lists them, and words of their captions."""
    rows = [line.split(" | ") for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("| `")]
    return {cells[0][2:].strip("` "): cells[1].strip("` ") for cells in rows if "/" in cells[0]}


def install() -> Path:
    """Install the packages unless the cache has them; return their folder. Raises `EnvironmentMissing`."""
    installed(ENVIRONMENT, _install)
    return SITE


def _install() -> None:
    make(ENVIRONMENT, LOCK)
    wheels = ("--no-deps", "--only-binary", ":all:")
    with tempfile.TemporaryDirectory() as folder:
        download = (*_PIP, "download", "--require-hashes", "-d", folder)
        run(*download, "--no-deps", "--no-binary", ":all:", "-r", str(SOURCES))
        run(*download, *wheels, *_PYTHON_36, "-r", str(OLD_WHEELS))
        for archive in sorted(Path(folder).iterdir()):
            # A source archive has one folder of its name and version; a wheel gets one here.
            wheel = archive.suffix == ".whl"
            into = SITE / "-".join(archive.name.split("-")[:2]) if wheel else SITE
            shutil.unpack_archive(archive, into, "zip" if wheel else None, filter=None if wheel else "data")


def references(files: Sequence[DataFile]) -> dict[str, Any]:
    """Return what pandas and pyarrow read of these files, by path."""
    tasks = "\n".join(json.dumps({"path": file.path, "options": file.options}) for file in files)
    done = subprocess.run(
        [PYTHON, FOLDER / "reference.py", SITE], input=tasks, capture_output=True, text=True, check=True
    )
    read = (json.loads(line) for line in done.stdout.splitlines())
    return {file.path: answer for file, answer in zip(files, read, strict=True)}


def main() -> None:
    """Write the answers anew."""
    install()
    found = references([file for file in data_files() if file.options is not None])
    lines = (json.dumps(pair, ensure_ascii=False, separators=(",", ":")) for pair in found.items())
    ANSWERS.write_text("".join(f"{line}\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
