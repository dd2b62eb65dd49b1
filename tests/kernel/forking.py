"""Kernels of a Jupyter server that are forked."""

from __future__ import annotations

from multiprocessing import forkserver
from typing import Any

from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

from tests.kernel.running import COMMAND, fork

forkserver.ensure_running()
"""It imports while the server starts: later the server would wait for it, and answer nobody."""


class ForkingManager(ServerKernelManager):
    """Forks kernels of ours, and starts others as Jupyter does. A server's setting names it."""

    async def start_kernel(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Start the kernel."""
        if self.provisioner is None and self.kernel_spec and self.kernel_spec.argv[1:5] == COMMAND:
            fork(self)
        await super().start_kernel(*args, **kwargs)
