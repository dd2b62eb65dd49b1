"""Figures of Matplotlib: their pictures, and the files that show the same."""

from __future__ import annotations

import functools
import io
import os
import sys
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PNG, PLAIN = "image/png", "text/plain"

MOST_SAVES = 3
"""Files of one figure that are compared with it."""

LONGEST_PATH = 300
LARGEST = 8 << 20

_saves: weakref.WeakKeyDictionary[Any, list[tuple[str, tuple[Any, ...], dict[str, Any]]]] = (
    weakref.WeakKeyDictionary()
)


def watch(module: Any) -> None:
    """Make the figures of `matplotlib.figure` remember the files that they are saved to."""
    save = module.Figure.savefig

    @functools.wraps(save)
    def savefig(figure: Any, fname: Any, *arguments: Any, **options: Any) -> Any:
        found = save(figure, fname, *arguments, **options)
        if isinstance(fname, (str, os.PathLike)):
            saves = _saves.setdefault(figure, [])
            saves.append((os.path.abspath(os.fsdecode(fname)), arguments, options))
            del saves[:-MOST_SAVES]
        return found

    module.Figure.savefig = savefig


def shown(figure: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a figure's representations, and their metadata: the files that show what it shows."""
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    about = {"agent_kernel": {"saved": files}} if (files := saved(figure)) else {}
    return {PNG: file.getvalue(), PLAIN: repr(figure)}, about


def saved(figure: Any) -> list[str]:
    """Return the files that the figure, as it is now, was saved to.

    It is drawn again as it was for the file: the bytes differ if either has changed since.
    """
    saves = _saves.get(figure, ())
    return [path for path, arguments, options in saves if _is_same(figure, path, arguments, options)]


def _is_same(figure: Any, path: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    kind = os.path.splitext(path)[1][1:].lower() or None
    try:
        if len(path) > LONGEST_PATH or os.path.getsize(path) > LARGEST:
            return False
        again = io.BytesIO()
        figure.savefig(again, *arguments, **{"format": kind, **options})
        with open(path, "rb") as file:
            return file.read(LARGEST) == again.getvalue()
    except Exception:  # noqa: BLE001 (a file that is gone, or a figure that cannot be drawn again)
        return False


def open_figures() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return what the open figures that are not empty show, and close them."""
    plots: Any = sys.modules.get("matplotlib.pyplot")
    if plots is None or not hasattr(plots, "get_fignums"):  # it may be half imported
        return []
    found = []
    for number in plots.get_fignums():
        figure = plots.figure(number)
        try:
            if figure.get_axes() or figure.texts or figure.images:
                found.append(shown(figure))
        finally:
            plots.close(figure)
    return found
