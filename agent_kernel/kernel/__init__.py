"""The "Agent" kernel: runs notebook cells as agent turns on any `Runtime`.

This package depends only on `runtime.base` and the protocol. Importing it loads nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent_kernel.kernel.app import launch
    from agent_kernel.kernel.notebook import OpenRuntime
    from agent_kernel.kernel.settings import KernelSettings

__all__ = ["KernelSettings", "OpenRuntime", "launch"]

_HOMES = {
    "KernelSettings": "agent_kernel.kernel.settings",
    "OpenRuntime": "agent_kernel.kernel.notebook",
    "launch": "agent_kernel.kernel.app",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first access."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
