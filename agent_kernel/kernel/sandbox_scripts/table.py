"""Describe a table file as JSON on standard output. Runs in the sandbox with the file.

    {"columns": [[name, type, missing or null], ...], "width": columns in all, "count": rows,
     "rows": [[text, ...], ...], "whole": true, "notes": [text, ...]}

or `{"reason": why it is not a table}`. A part that was asked for is packed, because a command prints little.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
import zipfile
import zlib
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

from agent_kernel.kernel.sandbox_scripts.summary import PART, Json, Unreadable

PACKAGE = "agent_kernel.kernel.sandbox_scripts"
READERS = {
    ".xlsx": "excel.read",
    ".xlsm": "excel.read",
    ".xls": "libraries.excel_97",
    ".ods": "open_document.read",
    ".parquet": "parquet.read",
    ".feather": "arrow.read",
    ".arrow": "arrow.read",
    ".orc": "arrow.read",
    ".sqlite": "database.read",
    ".sqlite3": "database.read",
    ".db": "database.read",
    ".dta": "libraries.stata",
    ".sav": "libraries.statistics",
    ".zsav": "libraries.statistics",
    ".por": "libraries.statistics",
    ".sas7bdat": "libraries.statistics",
    ".xpt": "libraries.statistics",
    ".xml": "xml_table.read",
}
"""The readers by the end of the file's name."""

MEMORY = 2 << 30
CPU_SECONDS = 15

ROOM = 45_000
"""Characters of a packed part."""

_BROKEN = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    RecursionError,
    TypeError,
    UnicodeError,
    ValueError,
    ElementTree.ParseError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def main(path: str, *part: str) -> None:
    """Print the description of a table; of a part (first row, rows, columns) packed."""
    limit()
    if part:
        PART.first, PART.rows, PART.columns = map(int, part)
        print(packed(description(path)))
    else:
        print(json.dumps(description(path), default=str))


def packed(found: Json) -> str:
    """Return a description in at most `ROOM` characters, without the last rows if they have no room."""
    while True:
        text = json.dumps(found, default=str).encode()
        short = base64.b64encode(zlib.compress(text)).decode()
        if len(short) <= ROOM or not found.get("rows"):
            return short
        found["rows"] = found["rows"][: len(found["rows"]) // 2]


def description(path: str) -> Json:
    """Return the description of the table at `path`, or the reason why there is none."""
    module, _, function = READERS[os.path.splitext(path)[1].lower()].partition(".")
    reader: Any = getattr(import_module("%s.%s" % (PACKAGE, module)), function)
    try:
        found: Json = reader(path)
    except Unreadable as error:
        return {"reason": str(error)}
    except MemoryError:
        return {"reason": "it needs more memory than a preview may take"}
    except _BROKEN:
        return {"reason": "it is damaged or of another kind"}
    return found


def limit() -> None:
    """Bound memory and time: files can be made to need much of both."""
    import resource

    for name, amount in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_SECONDS)):
        hard = resource.getrlimit(name)[1]
        soft = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
        resource.setrlimit(name, (soft, hard))


if __name__ == "__main__":
    main(sys.argv[1])
