"""The interface of a renderer, which turns one output item into what a notebook shows.

A renderer is a function `(item, limit) -> ShownItem | None`:

- `item` is the finished output item as JSON (a mapping, as the API sends it). It is untrusted: any field may
  be missing, of another type, or hostile.
- `limit` is how many characters of each long text the notebook stores; cut texts with `text.clip`.
- It returns the same content as HTML, Markdown and plain text (`bundles.ShownItem`), each readable alone,
  or None for an item that shows nothing.

What a renderer returns must be safe to display as it is. Never put a text of the item into it directly:

- HTML: `text.escape` for text, `bundles.pre` for preformatted text, `markdown.to_html` for Markdown. Use no
  scripts, images, classes or ids; style with the constants in `bundles`. Dollars in it are not mathematics,
  except in the formulas that `markdown.to_html` marks.
- Markdown: `text.code` and `text.fence` for code, `text.markdown_text` for text, `markdown.to_safe_markdown`
  for Markdown.
- plain text: `text.clean`, which removes escape sequences.

Item types without a renderer are shown by `generic.generic`. Another package adds a renderer with an entry
point of the group `agent_kernel.renderers`: the name is the item's type, the value an object that is a
`Renderer`, or a class (or a function without arguments) that makes one::

    [project.entry-points."agent_kernel.renderers"]
    clock_call = "my_package.notebook:ClockRenderer"

It is loaded in the kernel's process when the first item of its type is shown, and never by a server. If it
raises, takes longer than `registry.SECONDS` or returns something else, the item is shown by the generic
renderer, and the first such output says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from agent_kernel.kernel.render.bundles import ShownItem
from agent_kernel.kernel.render.stored import Item

Render = Callable[[Item, int], ShownItem | None]
"""A renderer as a function, the form the kernel calls."""


@runtime_checkable
class Renderer(Protocol):
    """Renders the items of one type. An entry point of `agent_kernel.renderers` provides one."""

    def render(self, item: Item, limit: int) -> ShownItem | None:
        """Return what to show, or None for nothing. Called in a thread, for one item at a time."""
        ...
