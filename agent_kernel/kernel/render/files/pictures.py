"""Show pictures that a turn wrote. A file whose content does not match its suffix is not shown.

PNG and JPEG become outputs of their own MIME types, which every notebook reader shows. GIF, WebP and SVG,
which exporters do not support, are embedded in an `<img>` as a data URL: there an SVG runs no script and
fetches nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Set
from pathlib import PurePosixPath

from agent_kernel.kernel.render.bundles import Bundle
from agent_kernel.kernel.render.text import clean, code, escape

Seen = Set[bytes | str]
"""Pictures that the reader has seen: digests of their bytes, and paths of files that show the same."""

_IMAGE = "max-width: 100%; background-color: white"


def kind_of(path: str) -> str | None:
    """Return the picture MIME type for the path's suffix; None if it is not a picture's."""
    return _KINDS.get(PurePosixPath(path).suffix.lower())


def digest(data: bytes) -> bytes:
    """Return what tells pictures apart: those with the same bytes are one picture."""
    return hashlib.sha256(data).digest()


def is_kind(data: bytes, mime: str) -> bool:
    """Return whether the bytes begin with that MIME type's signature."""
    if mime == "image/webp":
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if mime == "image/svg+xml":
        return b"<svg" in data[:4096] and data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    return data.startswith(_MAGIC[mime])


def picture(name: str, data: bytes, mime: str) -> Bundle | None:
    """Return the output for a picture's bytes; None if they are not a picture of that MIME type."""
    if not is_kind(data, mime):
        return None
    encoded = base64.b64encode(data).decode("ascii")
    plain = f"[picture: {clean(name)}]"
    if mime in ("image/png", "image/jpeg"):
        # A background for transparent pictures: black axes are invisible on a dark page.
        return Bundle(
            {mime: encoded, "text/plain": plain}, {mime: {"alt": clean(name), "needs_background": "light"}}
        )
    image = f'<img src="data:{mime};base64,{encoded}" alt="{escape(name)}" style="{_IMAGE}">'
    return Bundle({"text/html": image, "text/markdown": f"*picture: {code(name)}*", "text/plain": plain})


_KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
_MAGIC: dict[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
}
