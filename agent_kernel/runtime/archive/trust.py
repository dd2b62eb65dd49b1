"""What a front end's state from elsewhere may not decide here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_kernel.runtime.archive.reading import SessionArchive

_CLEARED: Mapping[str, tuple[Any, str]] = {
    "approval": (None, "what %approve had set"),
    "params": ({}, "what new containers were to have, such as mounts and network"),
    "skills": (None, "which skills it used"),
    "cassettes": ([], "where cells were recorded on the other machine"),
}
"""Entries of a state that give rights, or name files of a machine, with an empty value and words."""


def known_uploads(state: Mapping[str, Any], archive: SessionArchive) -> tuple[dict[str, Any], list[str]]:
    """Return the list of uploads in a state, without those whose file is not in the archive as it was sent.

    A file of this machine is then known by its content alone: without its mark, it is read and compared.
    """
    listed = state.get("uploads")
    told = (
        {target: each for target, each in listed.items() if _is_upload(each)}
        if isinstance(listed, dict)
        else {}
    )
    there = archive.digests({f"data/{target}" for target in told})
    found = {
        target: [path, size, [], digest]
        for target, (path, size, _, digest) in told.items()
        if there.get(f"data/{target}") == digest
    }
    gone = len(listed) - len(found) if isinstance(listed, dict) else 0
    if gone:
        files = "1 upload: its file has" if gone == 1 else f"{gone:,} uploads: their files have"
        return found, [f"Not known any more: {files} changed since."]
    return found, []


def _is_upload(value: object) -> bool:
    """Return whether this is a path, a size, a mark and a digest; see `kernel.keeping.state`."""
    if not isinstance(value, list) or len(value) != 4:
        return False
    path, size, _, digest = value
    return isinstance(path, str) and type(size) is int and size >= 0 and isinstance(digest, str)


def without_rights(state: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a state without what gives rights on this machine, and what was taken out, in words.

    Whoever wrote an archive could otherwise approve commands in the name of the person who imports it.
    """
    found, notes = dict(state), []
    for name, (empty, words) in _CLEARED.items():
        if found.get(name, empty) != empty:
            notes.append(f"Not taken over: {words}.")
            found[name] = empty
    said = found.get("said")
    if isinstance(said, dict) and "budget" in said:
        notes.append("Not taken over: what %budget had set.")
        found["said"] = {name: value for name, value in said.items() if name != "budget"}
    return found, notes
