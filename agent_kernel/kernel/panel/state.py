"""The state that the extension shows: model, container, running cell, use, and what waits for the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_kernel import __version__
from agent_kernel.kernel.panel.settings import fingerprint
from agent_kernel.kernel.panel.source import AnswersInPanel

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.panel.source import PanelSource


MOST_STALE = 1000
"""The number of cells that are named as stale."""


def state_of(source: PanelSource) -> dict[str, Any]:
    """Return the state as JSON. Reads what the kernel has; asks no server."""
    notebook, cell, view = source.notebook, source.cell(), source.view()
    shown = view if cell is not None and isinstance(view, AnswersInPanel) else None
    question = shown.question if shown else None
    running = cell and {
        "id": cell.id,
        "number": cell.number,
        "seconds": cell.seconds,
        "step": shown.doing if shown else "",
    }
    return {
        "kernel": __version__,
        "model": _model(notebook),
        "container": {"id": notebook.container.id, **notebook.container.shown},
        "cell": running,
        "newest": source.newest(),
        "files": source.listings.changes,
        "usage": _usage(notebook),
        "settings": fingerprint(notebook),
        "branches": [branch.name for branch in notebook.branches.tree.branches],
        "stale": notebook.branches.tree.stale()[:MOST_STALE],
        "preparing": source.preparation.step,
        "questions": [{**question, "cell": cell.id if cell else None}] if question else [],
    }


def _model(notebook: Notebook) -> str | None:
    """Return the model's name: the chosen one, else the one that answered last, else None."""
    from agent_kernel.kernel.offers.tools import SHELL_MODEL

    answered = (record.model for record in reversed(notebook.ledger.records))
    return notebook.model or next((name for name in answered if name not in ("", SHELL_MODEL)), None)


def _usage(notebook: Notebook) -> dict[str, Any]:
    """Return the tokens of all turns, and what they cost; the cost is None if no price is known."""
    from agent_kernel.kernel.costs.prices import price_of
    from agent_kernel.kernel.offers.tools import SHELL_MODEL

    taken = given = 0
    cost: float | None = None
    for record in notebook.ledger.records:
        if record.model in ("", SHELL_MODEL):
            continue
        taken += record.input_tokens
        given += record.output_tokens
        price = price_of(record.model, notebook.settings.prices)
        if price is not None:
            cost = (cost or 0.0) + price.of(record.input_tokens, record.output_tokens)
    return {"input_tokens": taken, "output_tokens": given, "cost": cost}
