"""Commands hidden from the model: `!!command`, `%%bash --private`, and the assignment of `%set`.

They run in the same shell as all others, as a turn that is not stored and not part of any chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.render.bundles import note
from agent_kernel.kernel.render.text import clean, clip

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs

MAX_STREAM = 100_000
"""The number of characters kept of each stream of a private command."""


async def run_private(
    notebook: Notebook, command: str, outputs: CellOutputs, *, quiet: bool = False
) -> str | None:
    """Run a command and show its output as the cell's streams, unless `quiet`.

    Returns the outcome of a failed command (`exit 1`, `timed out`), else None. Raises `TurnFailed` and what
    `Runtime.respond` raises. Cancelling ends the command.
    """
    from agent_kernel.kernel.offers.tools import SHELL_MODEL
    from agent_kernel.kernel.turn_view import TurnFailed

    container_id = (await notebook.container.open(outputs)).id
    notebook.container.touched()
    environment = {"type": "container_reference", "container_id": container_id}
    request: dict[str, Any] = {
        "model": SHELL_MODEL,
        "input": command,
        "tools": [{"type": "shell", "environment": environment}],
        "store": False,
        "stream": True,
    }
    if answers := notebook.answers():
        request["agent_kernel"] = answers
    runtime = await notebook.runtime()
    ended = None
    async with aclosing(notebook.approvals.watched(runtime.respond(request), runtime)) as events:
        async for event in events:
            if not quiet:
                outputs.event(event)
            if event.type == "response.output_item.done" and event.item.type == "shell_call_output":
                item = event.item.to_dict(mode="json", warnings=False)
                ended = _show(item, outputs, quiet=quiet)
            if event.type == "response.failed" and event.response.error is not None:
                raise TurnFailed("TurnFailed", event.response.error.message)
    if ended and not quiet:
        outputs.emit(note(f"[{ended}]"))
    return ended


def _show(item: Mapping[str, Any], outputs: CellOutputs, *, quiet: bool) -> str | None:
    ended = None
    for part in item.get("output") or []:
        for name in ("stdout", "stderr"):
            text = clean(clip(str(part.get(name) or ""), MAX_STREAM))
            if text and not quiet:
                outputs.stream(name, text)
        outcome = part.get("outcome") or {}
        if outcome.get("type") == "timeout":
            ended = "timed out"
        elif outcome.get("exit_code"):
            ended = f"exit {outcome['exit_code']}"
    return ended
