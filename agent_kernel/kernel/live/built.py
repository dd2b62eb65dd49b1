"""The page's half of the live view, built from extension/src/live. Packages have it; a checkout builds it."""

from __future__ import annotations

from importlib.resources import files

STATIC = files("agent_kernel.kernel.live") / "static"

MISSING = (
    "Turns are not shown while they run, because this checkout has no built live view. To build it, install "
    "Node, run `make extension`, and restart the kernel."
)


def built(name: str) -> str:
    """Return the text of a built file; "" if it is not built."""
    file = STATIC / name
    return file.read_text("utf-8") if file.is_file() else ""


def is_built() -> bool:
    """Return whether there is a live view to show."""
    return bool(built("live.js"))
