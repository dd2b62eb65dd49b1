"""Pictures of a cell's results: figures of matplotlib, and objects that can draw themselves."""

from __future__ import annotations

import io
import sys
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST = 10
"""Pictures of one cell."""

MOST_BYTES = 4 << 20
"""Bytes of one picture, and of all pictures of a cell twice as many."""

PNG, JPEG = "image/png", "image/jpeg"
_METHODS = ((PNG, "_repr_png_"), (JPEG, "_repr_jpeg_"))

warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown.*")


class Pictures:
    """The pictures of one cell, in order, as pairs of MIME type and bytes. `left_out` counts the others."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bytes]] = []
        self.left_out = 0
        self._room = 2 * MOST_BYTES

    def add(self, kind: str, data: object) -> None:
        """Add a picture, or count it if it is too large or one too many."""
        if not isinstance(data, bytes) or not data:
            return
        if len(self.found) >= MOST or len(data) > min(MOST_BYTES, self._room):
            self.left_out += 1
            return
        self._room -= len(data)
        self.found.append((kind, data))

    def of(self, value: Any) -> bool:
        """Add the picture of an object. Return whether it has one."""
        figure = sys.modules.get("matplotlib.figure")
        if figure is not None and isinstance(value, figure.Figure):
            self.add(PNG, _drawn(value))
            _close(value)
            return True
        for kind, method in _METHODS:
            draw = getattr(type(value), method, None)
            data = draw(value) if callable(draw) else None
            data = data[0] if isinstance(data, tuple) and data else data
            if isinstance(data, bytes):
                self.add(kind, data)
                return True
        return False

    def open_figures(self) -> None:
        """Add the figures of matplotlib that are open, and close them."""
        plots: Any = sys.modules.get("matplotlib.pyplot")
        if plots is None or not hasattr(plots, "get_fignums"):  # it may be half imported
            return
        for number in plots.get_fignums():
            figure = plots.figure(number)
            try:
                if figure.get_axes() or figure.texts or figure.images:
                    self.add(PNG, _drawn(figure))
            finally:
                plots.close(figure)


def _drawn(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


def _close(figure: Any) -> None:
    plots: Any = sys.modules.get("matplotlib.pyplot")
    if plots is not None:
        plots.close(figure)
