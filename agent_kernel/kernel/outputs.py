"""Where a cell's outputs go: at once to front ends that run in batch, after the live view to the others.

Both end with exactly the same outputs, so that a notebook reads the same however it was run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from openai.types.responses import ResponseStreamEvent

    from agent_kernel.kernel.render import Bundle

Publish = Callable[[str, dict[str, Any]], None]
"""Send one iopub message (type, content) with the cell as its parent."""


class LiveView(Protocol):
    """What shows a running turn."""

    def show(self, event: ResponseStreamEvent) -> None:
        """Take in one event."""
        ...

    def close(self) -> None:
        """Take the view away. Idempotent."""
        ...


class CellOutputs:
    """The outputs of one cell. Use `finish()` however the cell ended."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._kept: list[dict[str, Any]] = []
        self._live: LiveView | None = None

    def emit(self, bundle: Bundle) -> None:
        """Add a final output."""
        content = {"data": bundle.data, "metadata": bundle.metadata, "transient": {}}
        self._kept.append(content)
        if self._live is None:
            self._publish("display_data", content)

    def show_live(self, view: LiveView, bundle: Bundle) -> None:
        """Show `view` until `finish()`; `bundle` displays it."""
        self.finish()
        self._live = view
        self._publish("display_data", {"data": bundle.data, "metadata": bundle.metadata, "transient": {}})

    def event(self, event: ResponseStreamEvent) -> None:
        """Hand an event to the live view, where there is one."""
        if self._live is not None:
            self._live.show(event)

    def finish(self) -> None:
        """Replace the live view by the final outputs. Idempotent."""
        view, self._live = self._live, None
        if view is None:
            return
        # With wait, the front end swaps old for new in one step; with nothing to come it would wait for ever.
        self._publish("clear_output", {"wait": bool(self._kept)})
        for content in self._kept:
            self._publish("display_data", content)
        view.close()
