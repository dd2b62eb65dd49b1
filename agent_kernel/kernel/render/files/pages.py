"""Show a web page that a turn wrote, in an isolated frame.

The page is untrusted and may contain the notebook's data. So nothing in it runs, and no data leaves it, not
even in an address that it would fetch or link to:

- the frame's sandbox allows no scripts, forms, pop-ups or plug-ins, and no access to the surrounding page;
- an outer frame forbids every fetch and navigation, with a policy that the inner frame inherits;
- browsers connect to the address of a link, frame or object before they apply any policy, so tags with an
  address are renamed to unknown tags.

To see charts drawn by scripts, the user can `%download` the page and open it in a browser tab.
"""

from __future__ import annotations

import re

from agent_kernel.kernel.render.bundles import METADATA_KEY, Bundle, ShownItem
from agent_kernel.kernel.render.markdown import to_inline_html
from agent_kernel.kernel.render.text import code, size

MAX_BYTES = 1_000_000
"""The largest page shown, in bytes; a larger one is only named."""

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:; "
    "frame-src 'none'; form-action 'none'; base-uri 'none'"
)
_LEADING = re.compile(
    r"<(/?)(?=(?:a|area|base|embed|frame|iframe|link|meta|object|portal|fencedframe)(?:[\t\n\f\r />]|$))",
    re.IGNORECASE,
)
_NAMED_AS_LINKS = "<style>no-a { text-decoration: underline }</style>"
_SCRIPT = re.compile(r"<script\b", re.IGNORECASE)
_HEIGHT = 400
_FRAME = "width: 100%; border: 1px solid rgba(128, 128, 128, 0.35); background-color: white"


def frame(name: str, page: str, byte_count: int) -> Bundle:
    """Return the page in its frame, with a line that names it; `name` is its path in the workspace."""
    line = f"{code(name)}, a page of {size(byte_count)}"
    if _SCRIPT.search(page):
        line += "; its scripts do not run here"
    # The text between the tags appears if the front end removes frames, as in untrusted notebooks.
    html = f'<div style="margin: 4px 0">{to_inline_html(line)}</div>{isolated(page, _HEIGHT)}'
    shown = ShownItem(html, f"{line}; front ends show it.", f"[page: {name}, {size(byte_count)}]")
    return Bundle(shown.bundle().data, {METADATA_KEY: {}})


def isolated(page: str, height: int, name: str = "") -> str:
    """Return a frame of `height` pixels, as HTML, with a page in which nothing runs or is fetched.

    The frame is white, because a page cannot know the theme. The class `name` tells our extension what it is.
    """
    inert = _LEADING.sub(r"<\1no-", page) + _NAMED_AS_LINKS
    inner = (
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<style>html, body, iframe { margin: 0; border: 0; width: 100%; height: 100% } "
        "iframe { position: absolute }</style>"
        f'<iframe sandbox srcdoc="{_attribute(inert)}"></iframe>'
    )
    named = f' class="{name}"' if name else ""
    return (
        f'<iframe sandbox height="{height}"{named} style="{_FRAME}" srcdoc="{_attribute(inner)}">'
        "(The page is shown when the notebook is trusted.)</iframe>"
    )


def _attribute(text: str) -> str:
    """Escape for an attribute in double quotes. Escapes only what it must, because it is applied twice."""
    return text.replace("&", "&amp;").replace('"', "&quot;")
