"""The outputs of a cell: sent immediately in batch, or when the live view ends in a notebook.

Both ways produce exactly the same outputs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agent_kernel.kernel.front_end import FrontEnd

if TYPE_CHECKING:
    from agent_kernel.kernel.render.bundles import Bundle
    from agent_kernel.runtime.base import SessionEvent

Publish = Callable[[str, dict[str, Any]], None]
"""Send one iopub message (type, content) with the cell as its parent."""

Message = tuple[str, dict[str, Any]]


class LiveView(Protocol):
    """Shows a running turn."""

    def show(self, event: SessionEvent) -> None:
        """Update the view from one event."""
        ...

    def say(self, text: str) -> None:
        """Show a message that the user sent to the running turn."""
        ...

    def begin(self, step: str) -> None:
        """Say what is being done before the model is asked, such as "Starting the container"."""
        ...

    def close(self) -> None:
        """Remove the view. Idempotent."""
        ...


class CellOutputs:
    """The outputs of one cell. Always call `finish()`, even after an error.

    `payload` has the help pages that the execute reply passes to the front end.
    """

    def __init__(
        self, publish: Publish, front_end: FrontEnd = FrontEnd.BATCH, *, execution_count: int = 0
    ) -> None:
        self.front_end = front_end
        self.payload: list[dict[str, Any]] = []
        self._publish = publish
        self._execution_count = execution_count
        self._kept: list[tuple[str, dict[str, Any]]] = []
        self._printed = 0
        self._previewed = False
        self._live: LiveView | None = None
        self._progress_id: str | None = None

    def emit(self, bundle: Bundle) -> None:
        """Add a final output."""
        self._keep("display_data", _content(bundle))

    def result(self, bundle: Bundle) -> None:
        """Add a final output as an `execute_result`."""
        content = {"data": bundle.data, "metadata": bundle.metadata, "execution_count": self._execution_count}
        self._keep("execute_result", content)

    def stream(self, name: Literal["stdout", "stderr"], text: str) -> None:
        """Add final text to the cell's stdout or stderr."""
        self._keep("stream", {"name": name, "text": text})

    def page(self, bundle: Bundle) -> None:
        """Show a bundle in the front end's pager; the notebook does not store it."""
        self.payload.append({"source": "page", "data": bundle.data, "start": 0})

    @property
    def number(self) -> int:
        """The number of the cell, `In [number]`."""
        return self._execution_count

    def renumber(self, number: int) -> None:
        """Change the number of the cell: the session that it resumes has earlier ones."""
        self._execution_count = number

    def preview(self, kind: str, content: dict[str, Any]) -> None:
        """Send a message of code that runs, where the user watches; `settle` follows."""
        if self.front_end is not FrontEnd.BATCH and self._live is None:
            self.finish()  # there may be progress
            self._previewed = True
            self._publish(kind, content)

    def settle(self, messages: Sequence[Message], rest: Sequence[Message] | None) -> None:
        """Add the final outputs of code. `rest` are those that were not sent yet.

        If it is None, what was sent differs from the final outputs, which then take its place.
        """
        sent, self._previewed = self._previewed, False
        if sent and rest is not None:
            for message in rest:
                self._publish(*message)
            self._kept += messages
            self._printed = len(self._kept)
            return
        if sent:
            self._clear(again=bool(self._kept or messages))
        for message in messages:
            self._keep(*message)

    def _clear(self, *, again: bool) -> None:
        """Clear what the front end shows; `again`: once something is sent, which is all that was kept."""
        # `wait` makes the front end swap old for new in one step; without a new output it would never clear.
        self._publish("clear_output", {"wait": again})
        if self.front_end is not FrontEnd.CONSOLE:  # a console cannot remove printed output
            self._printed = 0

    @property
    def plain_result(self) -> str | None:
        """The text of the last result."""
        results = [content for kind, content in self._kept if kind == "execute_result"]
        return str(results[-1]["data"].get("text/plain", "")) if results else None

    def _keep(self, kind: str, content: dict[str, Any]) -> None:
        self._kept.append((kind, content))
        if self._live is None and self._progress_id is None:
            self._print()

    def _print(self) -> None:
        for kind, content in self._kept[self._printed :]:
            self._publish(kind, content)
        self._printed = len(self._kept)

    def show_live(self, view: LiveView, bundle: Bundle) -> None:
        """Show `view` until `finish()`; `bundle` displays it."""
        self.finish()
        self._live = view
        self._publish("display_data", _content(bundle))

    def event(self, event: SessionEvent) -> None:
        """Pass an event to the live view, if there is one."""
        if self._live is not None:
            self._live.show(event)

    def said(self, text: str) -> None:
        """Show a message that the user sent to the running turn, in the live view and as an output."""
        from agent_kernel.kernel.render.bundles import note

        self.emit(note(f"**You, while it ran:** {text}"))
        if self._live is not None:
            self._live.say(text)

    def step(self, text: str) -> None:
        """Say in the live view, if there is one, what is being done before the model is asked."""
        if self._live is not None:
            self._live.begin(text)

    def progress(self, bundle: Bundle) -> None:
        """Show progress in place of the previous progress; `finish()` removes it. In a live view: a step."""
        if self.front_end is FrontEnd.BATCH:
            return
        if self._live is not None:
            self._live.begin(str(bundle.data["text/plain"]).replace("`", ""))
            return
        again = self._progress_id is not None
        self._progress_id = self._progress_id or uuid.uuid4().hex
        content = _content(bundle) | {"transient": {"display_id": self._progress_id}}
        self._publish("update_display_data" if again else "display_data", content)

    def finish(self) -> None:
        """Replace the live view and progress with the final outputs. Idempotent."""
        view, self._live = self._live, None
        progress, self._progress_id = self._progress_id, None
        if view is None and progress is None:
            return
        self._clear(again=bool(self._kept))
        self._print()
        if view is not None:
            view.close()


def silent() -> CellOutputs:
    """Return outputs that nobody sees, for what is done outside a cell."""
    return CellOutputs(lambda _kind, _content: None)


def _content(bundle: Bundle) -> dict[str, Any]:
    return {"data": bundle.data, "metadata": bundle.metadata, "transient": {}}
