"""What a front end's state from elsewhere may not decide here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CLEARED: Mapping[str, tuple[Any, str]] = {
    "approval": (None, "what %approve had set"),
    "params": ({}, "what new containers were to have, such as mounts and network"),
    "uploads": ({}, "the list of files that were uploaded from the other machine"),
    "cassettes": ([], "where cells were recorded on the other machine"),
}
"""Entries of a state that give rights, or name files of a machine, with an empty value and words."""


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
