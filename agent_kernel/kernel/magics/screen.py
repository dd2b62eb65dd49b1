"""The magic `%screen`: the desktop of the container."""

from __future__ import annotations

import asyncio
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
_USAGE = "Use %screen, %screen on, %screen on --allow RULE …, %screen off or %screen open"
OPENED = "The desktop is open in a browser tab."
UNUSED = "Nobody opened the link to the desktop, and it has expired."


async def screen(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show the screen, here or in a tab, or let the model use it, or not. Raises `InvalidRequest`."""
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
        case ["open"]:
            await _open(notebook, outputs)
        case _:
            raise InvalidRequest(f"%screen does not know {arguments.strip()!r}.", hint=_USAGE)


async def _open(notebook: Notebook, outputs: CellOutputs) -> None:
    """Show a link to the desktop until it is used or has expired: the notebook keeps none.

    Raises `InvalidRequest` where nobody can click on it.
    """
    from agent_kernel.kernel.desktop.tokens import LIFETIME
    from agent_kernel.kernel.front_end import FrontEnd
    from agent_kernel.kernel.live.built import MISSING, built
    from agent_kernel.kernel.render.bundles import QUIET, Bundle, box, note

    if outputs.front_end is FrontEnd.BATCH:
        raise InvalidRequest("%screen open needs somebody who opens the link.", hint="%screen")
    if not built("desktop.js"):
        raise InvalidRequest(MISSING)
    container = await notebook.container.open(outputs)
    notebook.container.touched()
    outputs.finish()  # a live view would hide the link
    async with notebook.screen.bridge().link(container.id) as (address, used):
        words = f"It can be used once, within {LIFETIME:g} s, in a browser on the machine of this kernel."
        anchor = f'<a href="{address}" target="_blank" rel="noopener noreferrer">Open the desktop</a>'
        html = box(QUIET, f"{anchor}. {words}")
        outputs.progress(Bundle({"text/plain": f"{address}\n{words}", "text/html": html}))
        try:
            async with asyncio.timeout(LIFETIME):
                await used.wait()
        except TimeoutError:
            outputs.result(note(UNUSED))
            return
    outputs.result(note(OPENED))
