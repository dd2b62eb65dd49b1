"""Other people's packages, imported when a test first uses them.

Each takes seconds of processor time to import, and every worker imports the modules of all tests.
"""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """Stands for a module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pytest asks each value of a module whether it wraps a fixture
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)


agents = Later("agents")
anthropic_types = Later("anthropic.types")
anthropic_client = Later("agent_kernel.models.anthropic.client")
