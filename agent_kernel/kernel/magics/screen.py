"""The magic `%screen`: the desktop of the container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.magics.python import words_of

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

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
            allowed = f", but not before: {', '.join(words[2:])}" if words[2:] else ""
            asks = f"You are asked before forms, passwords, payments, downloads and other sites{allowed}."
            outputs.result(note(f"The agent can use the container's desktop. {asks}"))
        case ["off"]:
            notebook.screen.offered = False
            outputs.result(note("The agent cannot use the desktop."))
        case _:
            raise InvalidRequest(f"%screen does not know {arguments.strip()!r}.", hint=_USAGE)
