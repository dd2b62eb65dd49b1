"""Run this package's kernel without Jupyter's server, and without an installed kernelspec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager


def kernel_manager(sockets: str) -> type[KernelManager]:
    """Return a kernel manager class for this package's kernelspec, whether or not it is installed.

    It talks to the kernel through sockets in the folder `sockets`, which other users cannot reach.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    from agent_kernel.cli.install import spec_folder

    class Manager(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec.from_resource_dir(str(spec_folder()))

        @default("transport")
        def _default_transport(self) -> str:
            return "ipc"

        @default("ip")
        def _default_ip(self) -> str:
            return str(Path(sockets, "kernel"))

    return Manager
