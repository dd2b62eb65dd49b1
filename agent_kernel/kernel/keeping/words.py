"""What keeping and resuming says. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.render.text import clip, code
from agent_kernel.runtime.kept import KeptSession

MOST_NAMED = 20
LONGEST = 40
"""Characters of a variable's name."""

LONGEST_PATH = 60
"""Characters of a path in a list."""

_BEGINNING = 15
"""Characters that are kept of a long path's beginning."""


@dataclass(frozen=True)
class CameBack:
    """What of a session came back. `container` is why its container did not; empty if it did.

    `ended`: its sandbox had ended, so nothing runs in it any more. `shell`: shell variables came back.
    `conversation` is why the conversation did not come back; empty if it did.
    """

    container: str = ""
    had_container: bool = True
    ended: bool = False
    shell: bool = True
    conversation: str = ""
    interrupted: bool = False
    unreadable: str = ""
    variables: Sequence[str] | None = None
    cells: int = 0
    branches: int = 1
    documents: int = 0
    lost_documents: Sequence[str] = ()


def short_path(path: str) -> str:
    """Return a path whose middle is left out if it is long: its end tells which notebook it is."""
    if len(path) <= LONGEST_PATH:
        return path
    return f"{path[:_BEGINNING]}…{path[_BEGINNING + 1 - LONGEST_PATH :]}"


def resumed(session: KeptSession, back: CameBack) -> str:
    """Return the line about a session that was resumed."""
    parts = [f"Resumed session {named(session)}, kept {ago(session.updated_at)}: {_there(back)}."]
    if back.container:
        parts.append(f"Its files, packages and shell state are gone: {back.container}.")
    elif back.ended:
        parts.append(f"Gone, because its sandbox had ended: {_ended(back)}.")
    if back.conversation:
        parts.append(f"Its conversation is gone: {back.conversation}. The model begins anew.")
    if back.lost_documents:
        parts.append(f"Documents that are not there any more: {_names(back.lost_documents)}.")
    if back.unreadable:
        parts.append(f"Its history, branches and settings are left out: {back.unreadable}.")
    if back.interrupted:
        parts.append("The turn that was running when the kernel ended is kept as far as it came.")
    return " ".join(parts)


def _there(back: CameBack) -> str:
    files = back.had_container and not back.container
    found = [
        *(["files", "packages"] if files else []),
        *(["shell state"] if files and back.shell else []),
        *([] if back.conversation else ["conversation"]),
        *(["documents"] if back.documents else []),
        *([] if back.unreadable else [_history(back)]),
    ]
    if not found:
        return "nothing is left of it"
    last = found[-1] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    return f"{last} {'is' if found == ['conversation'] else 'are'} back"


def _history(back: CameBack) -> str:
    cells = f"the history of {back.cells:,} cell{'' if back.cells == 1 else 's'}"
    return cells if back.branches < 2 else f"{cells} on {back.branches} branches"


def _ended(back: CameBack) -> str:
    names = _names(back.variables or ())
    python = f"variables of Python: {names}" if names else "variables of Python and R"
    if back.variables is not None and not names:
        return "background processes" if back.shell else "shell variables, background processes"
    shell = "" if back.shell else "shell variables and directory, "
    return f"{shell}background processes, {python}"


def _names(given: Sequence[str]) -> str:
    return ", ".join(code(clip(each, LONGEST)) for each in given[:MOST_NAMED])


def named(session: KeptSession) -> str:
    """Return the name of a session, or its id if it has none."""
    return code(clip(session.name, 80)) if session.name else code(session.id)


def ago(when: float) -> str:
    """Return how long ago a moment was, in words."""
    seconds = max(0.0, time.time() - when)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count:,} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def taken_over(session: KeptSession) -> InvalidRequest:
    """Return the error for a cell whose session another kernel has resumed."""
    word = session.name or session.id
    return InvalidRequest(
        f"Another kernel has resumed session {word[:80]}, so this cell was not run: both would work in one "
        "container.",
        hint=f"%session resume {word[:80]} takes it back; %session new begins with an empty container.",
    )


def deleted(session: KeptSession) -> InvalidRequest:
    """Return the error for a cell whose session was deleted, with its conversation, while the kernel ran."""
    return InvalidRequest(
        f"Session {(session.name or session.id)[:80]} was deleted with its files and its conversation, so "
        "this cell was not run.",
        hint="Run it again: it begins with an empty container and conversation.",
    )


def elsewhere(session: KeptSession) -> str:
    """Return the hint about a session of a notebook of this path on another machine."""
    machine = session.notebook.partition(":")[0]
    return (
        f"A notebook at this path was kept {ago(session.updated_at)} on {code(clip(machine, 60))}: "
        f"{code(f'%session resume {session.id}')} goes on with it."
    )
