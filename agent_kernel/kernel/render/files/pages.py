"""A web page that a turn wrote, shown in a frame out of which nothing comes.

What the page holds is of unknown origin, and it may hold what the notebook knows. So nothing in it runs, and
nothing leaves it, not even an address that it would fetch or lead to:

- the frame's sandbox allows no scripts, forms, pop-ups, plug-ins, and no way to the page around it;
- a frame around that frame forbids every fetch and every navigation, by a policy that the inner one inherits;
- browsers connect to the address of a link, a frame or an object before they ask any policy, so the tags that
  have one are given names that mean nothing.

Pages whose charts are drawn by scripts are for a browser tab of the person's own: `%download` fetches them.
"""

from __future__ import annotations

import re

from agent_kernel.kernel.render.bundles import METADATA_KEY, Bundle, ShownItem
from agent_kernel.kernel.render.markdown import to_inline_html
from agent_kernel.kernel.render.text import code, size

MAX_BYTES = 1_000_000
"""A larger page is named, not shown."""

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
_FRAME = "width: 100%; border: 1px solid rgba(128, 128, 128, 0.35); background-color: white"


def frame(name: str, page: str, byte_count: int) -> Bundle:
    """The page in its frame, with a line that names it; `name` is its path as commands would write it."""
    line = f"{code(name)}, a page of {size(byte_count)}"
    if _SCRIPT.search(page):
        line += "; its scripts do not run here"
    inert = _LEADING.sub(r"<\1no-", page) + _NAMED_AS_LINKS
    inner = (
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<style>html, body, iframe { margin: 0; border: 0; width: 100%; height: 100% } "
        "iframe { position: absolute }</style>"
        f'<iframe sandbox srcdoc="{_attribute(inert)}"></iframe>'
    )
    # What stands between the tags is read where frames are taken away: in notebooks that are not trusted.
    html = (
        f'<div style="margin: 4px 0">{to_inline_html(line)}</div>'
        f'<iframe sandbox height="400" style="{_FRAME}" srcdoc="{_attribute(inner)}">'
        "(The page is shown when the notebook is trusted.)</iframe>"
    )
    shown = ShownItem(html, f"{line}; a front end shows it.", f"[page: {name}, {size(byte_count)}]")
    return Bundle(shown.bundle().data, {METADATA_KEY: {}})


def _attribute(text: str) -> str:
    """As the value of an attribute in double quotes; no more is escaped than must be: it is done twice."""
    return text.replace("&", "&amp;").replace('"', "&quot;")
