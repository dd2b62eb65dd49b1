"""Choose the files of the corpus by a rule that knows nothing of the previews: up to 40 of each package.

A file takes part if its name ends as a table's does and it is small. A package's formats take turns, and the
order within a format is that of a hash of the path, so no file is chosen because it agrees.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

PER_PACKAGE = 40
MAX_BYTES = 200_000

TEXT = (".csv", ".tsv", ".tab", ".psv", ".txt", ".dat", ".data")
TREES = (".json", ".jsonl", ".ndjson")
BINARY = (
    *(".xlsx", ".xlsm", ".xls", ".ods", ".parquet", ".feather", ".arrow", ".orc", ".sqlite", ".sqlite3"),
    *(".db", ".dta", ".sav", ".zsav", ".por", ".sas7bdat", ".xpt", ".xml"),
)
PACKED = (".gz", ".bz2", ".xz")
FOLDER = Path(__file__).parent
NO_DATA = (
    "license",
    "licence",
    "copying",
    "authors",
    "notice",
    "requirements",
    "cmakelists",
    "sources",
    "top_level",
)
"""Beginnings of names of text files that come with any package."""


def format_of(path: str) -> str:
    """Return the suffix that names the format, or nothing."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = bool(suffixes) and suffixes[-1] in PACKED and bool(suffixes.pop())
    known = TEXT + TREES if packed else TEXT + TREES + BINARY
    return suffixes[-1] if suffixes and suffixes[-1] in known else ""


def package_of(path: str) -> str:
    """Return the name of the package that ships the file."""
    return path.partition("/")[0].partition("-")[0]


def candidates(root: Path, packages: Iterable[str]) -> Iterator[str]:
    """Yield the paths of the files that take part, below `root`."""
    folders = sorted(folder for folder in root.iterdir() if package_of(folder.name) in packages)
    for package in sorted(set(packages)):
        paths = [
            path for folder in folders if package_of(folder.name) == package for path in _files(root, folder)
        ]
        yield from _in_turns(paths)[:PER_PACKAGE]


def _in_turns(paths: Iterable[str]) -> list[str]:
    seen: Counter[str] = Counter()
    turns = []
    for path in sorted(paths, key=lambda path: hashlib.sha256(path.encode()).digest()):
        seen[format_of(path)] += 1
        turns.append((seen[format_of(path)], format_of(path), path))
    return [path for _, _, path in sorted(turns)]


def no_tables() -> dict[str, str]:
    """Return what the files of these packages are that are not tables, by pattern of the path."""
    lines = (FOLDER / "no_tables.tsv").read_text("utf-8").splitlines()
    return dict(line.split("\t") for line in lines)


def _files(root: Path, folder: Path) -> Iterator[str]:
    if folder.name.endswith(("-info", ".data")):
        return
    left_out = no_tables()
    for file in folder.rglob("*"):
        path = str(file.relative_to(root))
        if not format_of(file.name) or file.name.lower().startswith(NO_DATA) or ".egg-info" in path:
            continue
        if any(fnmatchcase(path, pattern) for pattern in left_out):
            continue
        if file.is_file() and 0 < file.stat().st_size <= MAX_BYTES:
            yield path
