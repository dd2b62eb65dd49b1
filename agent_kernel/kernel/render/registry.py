"""Renderers from other packages: found by entry point, run with a time limit. Errors never break a cell."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from agent_kernel.kernel.render.base import Render, Renderer
from agent_kernel.kernel.render.bundles import ShownItem, note
from agent_kernel.kernel.render.generic import generic
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clip, code

log = logging.getLogger(__name__)

GROUP = "agent_kernel.renderers"
"""The entry point group; see `base`."""

SECONDS = 2.0
"""Seconds that a renderer may take for one item. A slower renderer is not called again."""

MOST_CHARACTERS = 1_000_000
"""The largest result of a renderer for one item, in characters."""


class Installed:
    """The renderers of installed packages, by item type. Each is loaded when first needed."""

    def __init__(self, points: Callable[[], Iterable[EntryPoint]] | None = None) -> None:
        self._points = points or (lambda: entry_points(group=GROUP))
        self._by_type: dict[str, EntryPoint] | None = None
        self._made: dict[str, Guarded] = {}

    def get(self, item_type: str) -> Render | None:
        """Return the renderer for items of this type, or None."""
        if self._by_type is None:
            self._by_type = {}
            for point in sorted(self._points(), key=lambda point: (point.name, point.value)):
                first = self._by_type.setdefault(point.name, point)
                if first.value != point.value:
                    log.warning("Two renderers for %s: using %s.", point.name, first.value)
        found = self._by_type.get(item_type)
        if found is None:
            return None
        if item_type not in self._made:
            self._made[item_type] = Guarded(item_type, found.load)
        return self._made[item_type]


class Guarded:
    """Calls another package's renderer. If it fails, uses the generic one and shows the reason once."""

    def __init__(self, item_type: str, load: Callable[[], Any], seconds: float = SECONDS) -> None:
        self._type = item_type
        self._load = load
        self._seconds = seconds
        self._renderer: Renderer | None = None
        self._disabled = False
        self._said = False

    def __call__(self, item: Item, limit: int) -> ShownItem | None:
        """Render the item, with the generic renderer if the package's fails."""
        if self._disabled:
            return generic(item, limit)
        answer: list[ShownItem | None] = []
        problem: list[Exception] = []

        def run() -> None:
            try:
                answer.append(self._checked(item, limit))
            except Exception as error:  # noqa: BLE001 (another package's code: reported below)
                problem.append(error)

        # Not a pool: a hanging thread must not keep the kernel from exiting.
        thread = threading.Thread(target=run, name=f"renderer {self._type}", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if answer:
            return answer[0]
        if problem:
            log.warning("The renderer for %s failed.", self._type, exc_info=problem[0])
            return self._fallback(item, limit, f"failed: {type(problem[0]).__name__}: {problem[0]}")
        self._disabled = True
        log.warning("The renderer for %s took longer than %s s.", self._type, self._seconds)
        return self._fallback(item, limit, f"took longer than {self._seconds:g} s and is now off")

    def _checked(self, item: Item, limit: int) -> ShownItem | None:
        if self._renderer is None:
            found = self._load()
            made = found if isinstance(found, Renderer) and not isinstance(found, type) else found()
            if not isinstance(made, Renderer):
                raise TypeError(f"{made!r} has no method `render`")
            self._renderer = made
        shown = self._renderer.render(item, limit)
        if shown is None:
            return None
        if not isinstance(shown, ShownItem):
            raise TypeError(f"it returned {type(shown).__name__}, not ShownItem")
        texts = (shown.html, shown.markdown, shown.plain)
        if not all(isinstance(text, str) for text in texts) or sum(map(len, texts)) > MOST_CHARACTERS:
            raise ValueError(
                f"it returned something other than three texts of at most {MOST_CHARACTERS} characters in all"
            )
        return shown

    def _fallback(self, item: Item, limit: int, why: str) -> ShownItem:
        shown = generic(item, limit)
        if self._said:
            return shown
        self._said = True
        text = (
            f"The renderer for {code(self._type)} {code(clip(why, 300))}. The item is shown in generic form."
        )
        about = note(text).data
        return ShownItem(
            about["text/html"] + shown.html,
            f"{about['text/markdown']}\n\n{shown.markdown}",
            f"{about['text/plain']}\n{shown.plain}",
        )


INSTALLED = Installed()
