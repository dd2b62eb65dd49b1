"""What a cell told the model, as the upstream received it."""

from __future__ import annotations

from tests.kernel.client import Notebook
from tests.kernel.upstream import Played


def asked(notebook: Notebook, upstream: Played, cell: str) -> str:
    """All that the model was told with this cell."""
    assert notebook.run(cell).reply["status"] == "ok"
    messages = upstream.requests[-1]["messages"]
    return "\n".join(str(message["content"]) for message in messages).replace('"', "'")
