"""What Tab offers: a text, its kind, and one line about it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

MAX_MATCHES = 200


@dataclass(frozen=True)
class Match:
    """A text that can stand at the cursor.

    `kind` is one word: line, option, file, folder, model, skill or variable. `about` is one line, empty if
    there is nothing to say.
    """

    text: str
    kind: str
    about: str = ""

    def to_json(self, start: int, end: int) -> dict[str, Any]:
        """Return the match as JupyterLab's completer reads it; `description` is for our extension."""
        return {
            "text": self.text,
            "type": self.kind,
            "start": start,
            "end": end,
            "description": self.about,
        }


def starting(matches: Iterable[Match], word: str) -> list[Match]:
    """Return the matches that begin with `word`."""
    return [each for each in matches if each.text.startswith(word)]


def escaped(paths: Iterable[Match]) -> list[Match]:
    """Return paths as they are written in a line: with a backslash before each space."""
    return [replace(path, text=path.text.replace(" ", "\\ ")) for path in paths]


def file(path: str, size: int | None = None, where: str = "") -> Match:
    """Return a file with its type and, if known, its size in bytes and where it is."""
    from agent_kernel.kernel.render.text import size as in_words

    kind = PurePosixPath(path).suffix.removeprefix(".").upper()
    about = (kind, "" if size is None else in_words(size), where)
    return Match(path, "file", ", ".join(filter(None, about)))


def folder(path: str) -> Match:
    """Return a folder; its path ends in a slash."""
    return Match(path, "folder", "folder")


def local(prefix: str) -> list[Match]:
    """Return local paths with this prefix. Folders end in a slash; hidden names need a prefix with a dot."""
    start = prefix.rpartition("/")[2]
    shown = prefix[: len(prefix) - len(start)]
    try:
        with os.scandir(os.path.expanduser(shown) or ".") as entries:
            found = sorted(
                (entry for entry in entries if _offered(entry.name, start)), key=lambda entry: entry.name
            )[:MAX_MATCHES]
            return [_local(shown, entry) for entry in found]
    except (OSError, ValueError):
        return []


def _offered(name: str, start: str) -> bool:
    return name.startswith(start) and (start.startswith(".") or not name.startswith("."))


def _local(shown: str, entry: os.DirEntry[str]) -> Match:
    path = shown + entry.name
    try:
        found = entry.stat()
    except OSError:  # a link to nothing
        return file(path)
    if stat.S_ISDIR(found.st_mode):
        return folder(path + "/")
    return file(path, found.st_size if stat.S_ISREG(found.st_mode) else None)


def one_level(files: Mapping[str, int], prefix: str) -> list[Match]:
    """Return the container's files with this prefix; for a file in a deeper folder, that folder.

    `files` are sizes in bytes by path.
    """
    depth = prefix.count("/")
    found: dict[str, Match] = {}
    for path, size in files.items():
        if path.startswith(prefix):
            parts = path.split("/")
            shown = "/".join(parts[: depth + 1])
            match = folder(shown + "/") if len(parts) > depth + 1 else file(shown, size)
            found[match.text] = match
    return [found[text] for text in sorted(found)][:MAX_MATCHES]
