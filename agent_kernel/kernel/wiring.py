"""What a kernel is made of, handed over by the command that starts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from agent_kernel.kernel.notebook import OpenRuntime
    from agent_kernel.kernel.origin.start import JupyterStart
    from agent_kernel.kernel.panel.preparation import KernelSetup
    from agent_kernel.kernel.settings import KernelSettings


@dataclass(frozen=True)
class KernelWiring:
    """The dependencies of a kernel.

    `history` is the file of executed cells; None keeps them in memory. `start` is how Jupyter started the
    process; None if the kernel has no notebook file. `setup` is for the extension's first-run page.
    """

    open_runtime: OpenRuntime
    settings: KernelSettings
    history: Path | None = None
    start: JupyterStart | None = None
    setup: KernelSetup | None = None
