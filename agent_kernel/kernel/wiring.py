"""What a kernel is made of, handed over by the command that starts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from agent_kernel.kernel.notebook import OpenRuntime
    from agent_kernel.kernel.settings import KernelSettings


@dataclass(frozen=True)
class KernelWiring:
    """The dependencies of a kernel. `history` is the file of executed cells; None keeps them in memory."""

    open_runtime: OpenRuntime
    settings: KernelSettings
    history: Path | None = None
