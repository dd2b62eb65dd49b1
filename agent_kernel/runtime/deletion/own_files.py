"""The files that a session has left on this machine, outside of the store: archives and cassettes."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agent_kernel.cassettes.reading import CassetteInvalid, read
from agent_kernel.runtime.archive.audit import lines_of
from agent_kernel.runtime.deletion.belongings import Belongings
from agent_kernel.store.records import SessionRow

CASSETTES = "cassettes"
"""The entry of a session's state that names its cassettes, each as `MACHINE:PATH`."""


def remove_own_files(found: Belongings, others: Sequence[SessionRow], audit: Path | None) -> list[str]:
    """Remove archives and cassettes. Return what was removed; what stays is named in `found.shared`.

    `audit` is the log that names the archives; `others` are sessions that may use the same cassette.
    """
    return _remove_archives(found, audit) + _remove_cassettes(found, others)


def _remove_archives(found: Belongings, audit: Path | None) -> list[str]:
    """Remove the archives of the session that are still as they were written."""
    removed = []
    for line in lines_of(audit):
        entry = json.loads(line) if '"export"' in line and found.session.id in line else {}
        if entry.get("event") != "export" or entry.get("session") != found.session.id:
            continue
        path = Path(str(entry.get("file")))
        if not path.is_file():
            continue
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == entry.get("sha256")
        if same:
            with suppress(FileNotFoundError):
                path.unlink()
            removed.append(f"the archive {path}")
        else:
            found.shared.append(f"{path}: it is not the archive that was written there")
    return removed


def _remove_cassettes(found: Belongings, others: Sequence[SessionRow]) -> list[str]:
    """Remove the cassettes that the session has recorded here.

    Its state names them. That of a key's session is written by a client, which has recorded nothing here.
    """
    removed: list[str] = []
    if found.session.tenant:
        return removed
    used = {each for other in others for each in _cassettes(other)}
    for named in _cassettes(found.session):
        machine, _, name = named.partition(":")
        path = Path(name)
        if named in used:
            found.shared.append(f"the cassette {path}: another session records there too")
        elif machine != socket.gethostname():
            found.shared.append(f"the cassette {path}: it is on {machine}")
        elif path.is_absolute() and path.is_file():
            try:
                read(path)  # so that a wrong state costs nothing but a cassette
            except CassetteInvalid:
                found.shared.append(f"{path}: it is not a cassette")
                continue
            path.unlink(missing_ok=True)
            removed.append(f"the cassette {path}")
    return removed


def _cassettes(session: SessionRow) -> list[str]:
    """Return what a session's state names; nothing if it cannot be read."""
    with suppress(ValueError, RecursionError):
        state = json.loads(session.state or "{}")
        named = state.get(CASSETTES) if isinstance(state, dict) else None
        return [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    return []
