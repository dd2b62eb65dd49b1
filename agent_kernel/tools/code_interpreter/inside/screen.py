"""Where a cell's displays go: into its record, in order with what is printed."""

from __future__ import annotations

import os

from agent_kernel.tools.code_interpreter.inside import representations
from agent_kernel.tools.code_interpreter.inside.capture import Capture
from agent_kernel.tools.code_interpreter.inside.figures import open_figures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RESULT, DISPLAY = "execute_result", "display_data"


class Screen:
    """Displays values of the running cell. It has none between cells, and none in a fork."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def say(self, text: str) -> None:
        """Add a text to what was printed as errors."""
        self._capture.say(text)

    def show(self, value: Any, kind: str = DISPLAY, name: str | None = None, *, update: bool = False) -> None:
        """Display a value. Raises what its representation raises."""
        if (chart := representations.chart_of(value, self.say)) is not None:
            self.publish(*chart, kind, name, update=update)
            return
        own = getattr(type(value), "_ipython_display_", None)
        if callable(own) and not isinstance(value, type):
            own(value)
            return
        data, metadata = representations.representations(value, self.say)
        self.publish(data, metadata, kind, name, update=update)

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        kind: str = DISPLAY,
        name: str | None = None,
        *,
        update: bool = False,
    ) -> None:
        """Display representations by MIME type. `update` replaces those of the display with this id."""
        found = representations.checked(data if isinstance(data, dict) else {})
        about = representations.plain_json(metadata if isinstance(metadata, dict) else {}) or {}
        if not found:
            return
        if update and name is not None:
            self._capture.add(lambda record: record.update(name, found, about))
        else:
            self._capture.add(lambda record: record.display(kind, found, about, name))

    def clear(self, wait: bool = False) -> None:
        """Drop what the cell has shown so far; `wait`: when something new is shown."""
        self._capture.add(lambda record: record.clear(wait))

    def error(self, error: str, value: str, lines: list[str]) -> None:
        """Add an exception with the lines of its traceback."""
        self._capture.add(lambda record: record.error(error, value, lines))

    def figures(self) -> None:
        """Display the figures of Matplotlib that are open, and close them."""
        for data, metadata in open_figures():
            self.publish(data, metadata)


class DisplayHandle:
    """A display that can be shown again with another content."""

    def __init__(self, screen: Screen, display_id: str | None = None) -> None:
        self._screen = screen
        self.display_id = display_id or os.urandom(16).hex()

    def __repr__(self) -> str:
        return f"<DisplayHandle display_id={self.display_id}>"

    def display(self, value: Any, **options: Any) -> None:
        """Show a value in a new place."""
        _shown(self._screen, value, self.display_id, options, update=False)

    def update(self, value: Any, **options: Any) -> None:
        """Show a value in place of the last one."""
        _shown(self._screen, value, self.display_id, options, update=True)


def _shown(screen: Screen, value: Any, name: str | None, options: dict[str, Any], *, update: bool) -> None:
    if options.get("raw"):
        screen.publish(value, options.get("metadata"), name=name, update=update)
    else:
        screen.show(value, name=name, update=update)


class Display:
    """The function `display` where IPython is missing, and those that come with it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def display(self, *values: Any, display_id: Any = None, clear: bool = False, **options: Any) -> Any:
        """Show values, in order with what is printed. With `display_id`, return a handle to update it."""
        if clear:
            self._screen.clear(wait=True)
        handle = None
        if display_id is not None and display_id is not False:
            handle = DisplayHandle(self._screen, None if display_id is True else str(display_id))
        for value in values:
            name = handle.display_id if handle is not None else None
            _shown(self._screen, value, name, options, update=bool(options.get("update")))
        return handle

    def update_display(self, value: Any, *, display_id: str, **options: Any) -> None:
        """Show a value in place of the display with this id."""
        _shown(self._screen, value, str(display_id), options, update=True)

    def publish_display_data(self, data: Any, metadata: Any = None, **_: Any) -> None:
        """Show representations by MIME type."""
        self._screen.publish(data, metadata)

    def clear_output(self, wait: bool = False) -> None:
        """Drop what the cell has shown so far; `wait`: when something new is shown."""
        self._screen.clear(wait)
