"""The magic that records a notebook's turns into a cassette: `%record`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs


async def record(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Switch recording on or off, or show what is recorded and replayed."""
    from agent_kernel.kernel.recording.recording import FOLDER
    from agent_kernel.kernel.render.bundles import note

    word, _, rest = arguments.partition(" ")
    path = rest.strip().strip("\"'")
    if word not in ("", "on", "off", "status") or (path and word != "on"):
        raise InvalidRequest(f"%record does not know {arguments!r}.", hint="Use on, on PATH, off or status.")
    recording = notebook.recording
    if word == "on":
        if recording.plays is not None:
            raise InvalidRequest(
                "This notebook replays a cassette, which cannot be recorded.",
                hint="Switch the model first, for example: %model --default",
            )
        recording.record_into(path or notebook.settings.record or FOLDER)
    elif word == "off":
        recording.target = None
    said = await asyncio.to_thread(recording.status)
    (outputs.result if word in ("", "status") else outputs.emit)(note(said))
