"""Start a kernel process: the application around the kernel, and `launch`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipykernel.kernelapp import IPKernelApp

from agent_kernel.kernel.kernel import kernel_class
from agent_kernel.kernel.notebook import OpenRuntime
from agent_kernel.kernel.origin.ports import POLLIN, USE_FD, Ports
from agent_kernel.kernel.origin.start import JupyterStart
from agent_kernel.kernel.panel.preparation import KernelSetup
from agent_kernel.kernel.settings import KernelSettings
from agent_kernel.kernel.wiring import KernelWiring

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Runtime


class AgentKernelApp(IPKernelApp):
    """ipykernel's application (sockets, threads, heartbeat) with our kernel and no IPython configuration."""

    name = "agent-kernel"
    outstream_class: Any = None
    """None: library prints and logs go to the terminal that runs Jupyter, never into a cell's outputs."""

    open_ports: Ports | None = None
    """Where this process listens already."""

    def init_sockets(self) -> None:
        """Serve the ports, with the connections that are waiting there."""
        super().init_sockets()
        if self.open_ports is not None:
            self.open_ports.close()

    def init_iopub(self, context: Any) -> None:
        """Welcome each client before it is told anything else.

        Whatever is sent on a socket reads from it as well, and what came is not told again (`ZMQ_FD` in
        zmq_getsockopt(3)). So whoever sends on a socket that a stream reads must let the stream look, which
        ipykernel does not: a client that is there before the kernel says "starting" got no welcome.
        """
        super().init_iopub(context)
        thread = self.iopub_thread
        send, stream = thread._really_send, thread._xpub_stream

        def look() -> None:
            if not stream.closed():
                stream.flush(POLLIN)

        def send_in_turn(*message: Any, **more: Any) -> None:
            look()
            send(*message, **more)
            look()

        thread._really_send = send_in_turn

    def _try_bind_socket(self, s: Any, port: int) -> int:
        listening = None if self.open_ports is None else self.open_ports.take(port)
        if listening is not None:
            s.setsockopt(USE_FD, listening)
        bound: int = super()._try_bind_socket(s, port)
        return bound

    def start(self) -> None:
        """Run until shut down. End the control thread before closing its sockets."""
        super().start()
        if self.control_thread is not None and self.control_thread.is_alive():
            self.control_thread.stop()
            self.control_thread.join(5)

    def load_config_file(self, suppress_errors: bool | None = None) -> None:  # type: ignore[override]
        """Do nothing: `ipython_kernel_config.py` configures another kernel."""

    def init_profile_dir(self) -> None:
        """Do nothing: without IPython profiles, none has to be created in the user's home."""
        self.profile_dir = None

    def init_path(self) -> None:
        """Do nothing: modules must not be imported from the notebook's folder, which is untrusted."""

    def init_pdb(self) -> None:
        """Do nothing: cells run no Python to debug."""


def launch(
    *,
    connection_args: list[str],
    open_runtime: OpenRuntime,
    settings: KernelSettings,
    history: Path | None = None,
    start: JupyterStart | None = None,
    setup: KernelSetup | None = None,
    ports: Ports | None = None,
) -> None:
    """Run a kernel until a front end shuts it down.

    `connection_args` are ipykernel's command-line arguments (`["-f", "connection.json"]`). `open_runtime` is
    awaited on the kernel's event loop when the first cell needs the runtime; the kernel closes that runtime.
    `history` is the file that stores executed cells; None keeps them in memory only. `start` is how Jupyter
    started this process; without it the notebook's metadata is not read. `setup` examines and prepares this
    machine for the extension's first-run page. `ports` are those on which this process listens already.
    """
    wiring = KernelWiring(_without_collection(open_runtime), settings, history, start, setup)
    app = AgentKernelApp.instance(kernel_class=kernel_class(wiring))
    app.open_ports = ports
    app.initialize(connection_args)
    gc.freeze()  # no collection looks at what was imported until now
    app.start()


def _without_collection(open_runtime: OpenRuntime) -> OpenRuntime:
    """Collect no garbage while the runtime opens, nor look later at what it has imported.

    Collections would take a tenth of the first cell's processor time, and all that is imported stays.
    """

    async def opened() -> Runtime:
        gc.disable()
        try:
            return await open_runtime()
        finally:
            gc.freeze()
            gc.enable()

    return opened
