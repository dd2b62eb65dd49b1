"""Starting a kernel process: the application around the kernel, and `launch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipykernel.kernelapp import IPKernelApp

from agent_kernel.kernel.kernel import KernelWiring, kernel_class
from agent_kernel.kernel.notebook import OpenRuntime
from agent_kernel.kernel.settings import KernelSettings


class AgentKernelApp(IPKernelApp):
    """ipykernel's application (sockets, threads, heartbeat), our kernel, none of IPython's configuration."""

    name = "agent-kernel"
    outstream_class: Any = None
    """What libraries print or log goes to the terminal that Jupyter runs in, never into a cell's outputs."""

    def start(self) -> None:
        """Run until shut down; then let the control thread end before its sockets do."""
        super().start()
        if self.control_thread is not None and self.control_thread.is_alive():
            self.control_thread.stop()
            self.control_thread.join(5)

    def load_config_file(self, suppress_errors: bool | None = None) -> None:  # type: ignore[override]
        """Nothing: `ipython_kernel_config.py` is about another kernel."""

    def init_profile_dir(self) -> None:
        """None: no profile of IPython's is used, so none is made in the person's home."""
        self.profile_dir = None

    def init_path(self) -> None:
        """Nothing: modules must not come from the notebook's folder, which may hold anything."""

    def init_pdb(self) -> None:
        """Nothing: there is no Python of a cell to debug."""


def launch(
    *,
    connection_args: list[str],
    open_runtime: OpenRuntime,
    settings: KernelSettings,
    history: Path | None = None,
) -> None:
    """Run a kernel until a front end shuts it down.

    `connection_args` are ipykernel's command-line arguments (`["-f", "connection.json"]`). `open_runtime` is
    awaited when the first cell needs the runtime, on the kernel's event loop; the kernel closes what it gets.
    `history` is the file of the cells that were run; None keeps them as long as the kernel lives.
    """
    wiring = KernelWiring(open_runtime, settings, history)
    app = AgentKernelApp.instance(kernel_class=kernel_class(wiring))
    app.initialize(connection_args)
    app.start()
