"""What the host adds to a cell's output: that its session is a new one, has ended, or did not start."""

from __future__ import annotations

from agent_kernel.sandboxes.calls import Exited

NAMES = {"python": "Python", "r": "R"}
"""The languages of sessions, as messages call them."""

PROGRAMS = {"python": "python3", "r": "R"}
"""The program in the image that each language needs."""

_MISSING = 127
_MEMORY = "out of memory: limit "


def new(language: str, why: str | None, gone: str) -> str:
    """Return the line for the first cell of a session after another one. `gone` lists variables."""
    because = f" ({why})" if why else ""
    listed = f": {gone}" if gone else ""
    return f"[A new {NAMES[language]} session: variables of earlier calls are gone{because}{listed}.]"


def ended(language: str, end: Exited, gone: str) -> str:
    """Return the line about a session that ended. `gone` lists its variables."""
    memory = [each.removeprefix(_MEMORY) for each in end.reached if each.startswith(_MEMORY)]
    if memory:
        what = f"was ended: it used more than the container's {memory[0]} of memory"
    else:
        what = f"ended ({', '.join(end.reached) or f'exit code {end.code}'})"
    left = f"Its variables are gone: {gone}. The" if gone else "Its variables are gone; the"
    return f"[The {NAMES[language]} session {what}. {left} next call begins a new one.]"


def not_started(language: str, end: Exited, seconds: float | None) -> str:
    """Return the line about a session that ended before it was ready, or was not ready after `seconds`."""
    name, program = NAMES[language], PROGRAMS[language]
    if end.code == _MISSING:
        return f"[The container has no {name}: {program} cannot be started.]"
    why = f"exit code {end.code}" if seconds is None else f"it took longer than {seconds:g} s"
    return f"[The {name} session could not be started ({why}).]"
