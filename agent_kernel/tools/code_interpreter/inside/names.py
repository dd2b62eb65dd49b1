"""Keeps the names of a session's variables in a file, so that they can be named once they are gone."""

from __future__ import annotations

import contextlib
import json
import os
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST = 200
"""Names that are kept."""

LONGEST = 100
"""Characters of a name that is kept."""


def visible(variables: dict[Any, Any], hidden: Any = ()) -> list[str]:
    """Return the names of variables, functions and classes; not of modules, nor those in `hidden`."""
    return [
        name
        for name, value in list(variables.items())
        if isinstance(name, str)
        and not name.startswith("_")
        and name not in hidden
        and type(value) is not types.ModuleType
    ]


class NamesFile:
    """The file, of which checkpoints include the folder. One session at a time writes it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._written: list[str] | None = None

    def write(self, names: list[str]) -> None:
        """Replace what the file says, if the names have changed. A file that cannot be written is left."""
        if names == self._written:
            return
        self._written = names
        short = [name for name in names if len(name) <= LONGEST][:MOST]
        new = self._path + ".new"
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(file, json.dumps({"names": short, "more": len(names) - len(short)}).encode("ascii"))
            finally:
                os.close(file)
            os.replace(new, self._path)
