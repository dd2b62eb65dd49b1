"""The magic `%screen`: the desktop of the container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.python import words_of

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

_NAMES = {
    "form": "forms",
    "credentials": "passwords",
    "payment": "payments",
    "download": "downloads",
    "domain": "other sites",
}
_USAGE = "Use %screen, %screen on, %screen on --allow RULE … or %screen off"


async def screen(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show the screen, or let the model use the desktop, or not. Raises `InvalidRequest`."""
    from agent_kernel.kernel.offers.tools import SCREEN_MODEL
    from agent_kernel.kernel.render.bundles import note

    match words_of("%screen", arguments, _USAGE):
        case []:
            await notebook.shell("%screen", outputs, SCREEN_MODEL)
        case ["on"] | ["on", "--allow", *_] as words if len(words) != 2:
            notebook.screen.offer(words[2:])
            *others, last = [_NAMES[each] for each in _NAMES if each not in words[2:]] or ["nothing"]
            asked = f"{', '.join(others)} and {last}" if others else last
            outputs.result(note(f"The agent can use the container's desktop. You are asked before {asked}."))
        case ["off"]:
            notebook.screen.offered = False
            outputs.result(note("The agent cannot use the desktop."))
        case _:
            raise InvalidRequest(f"%screen does not know {arguments.strip()!r}.", hint=_USAGE)
