"""The Jupyter kernel: translates Jupyter messages to calls of a `Notebook`. It evaluates no code."""

from __future__ import annotations

import asyncio
import signal
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar, cast

import comm
from ipykernel._version import kernel_protocol_version
from ipykernel.kernelbase import Kernel
from traitlets import Any as AnyTrait

from agent_kernel import __version__
from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.asking.types import Asker
from agent_kernel.kernel.cell_run import CellRunner, SubmittedCell
from agent_kernel.kernel.front_end import FrontEnd, front_end_of
from agent_kernel.kernel.history import CellHistory
from agent_kernel.kernel.outputs import CellOutputs
from agent_kernel.kernel.panel.panel import Panel
from agent_kernel.kernel.panel.source import PanelSource, RunningCell
from agent_kernel.kernel.replies import (
    CellRaised,
    Reply,
    described,
    error_content,
    stopped_after,
    succeeded,
)

if TYPE_CHECKING:
    from agent_kernel.kernel.wiring import KernelWiring

STOP_SECONDS = 15.0
"""Seconds that an interrupted cell may take to stop; after that its reply says to restart the kernel."""

CLOSE_SECONDS = 4.0
"""Seconds for each step of a shutdown; front ends kill a kernel that takes much longer."""


def kernel_class(wiring: KernelWiring) -> type[AgentKernel]:
    """Return a kernel class that uses `wiring`: ipykernel's application creates its kernel from a class."""
    return type("WiredKernel", (AgentKernel,), {"wiring": wiring, "__module__": __name__})


class AgentKernel(Kernel):
    """A kernel that runs each cell as an agent turn. Create a usable class with `kernel_class`."""

    wiring: ClassVar[KernelWiring]
    implementation = "agent-kernel"
    implementation_version = __version__
    banner = f"agent-kernel {__version__}: a cell is a prompt; %help lists what else it can contain."
    language_info = {  # noqa: RUF012 (named by the base class)
        "name": "agent",
        "version": __version__,
        "mimetype": "text/markdown",
        "file_extension": ".md",
        "pygments_lexer": "text",
        "codemirror_mode": "markdown",
    }
    debugpy_stream = AnyTrait()  # set by the application; no debugger is offered
    user_ns = AnyTrait()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        from agent_kernel.kernel.notebook import Notebook
        from agent_kernel.kernel.origin.origin import NotebookOrigin
        from agent_kernel.kernel.transfer.mentions import attach

        wiring = self.wiring
        origin = NotebookOrigin(wiring.start, self.log) if wiring.start else None
        self._agent = Notebook(wiring.open_runtime, wiring.settings, self.log, attach, origin)
        self._cells = CellRunner(self._agent, self._interrupt_cell)
        self._history = CellHistory(wiring.history)
        self._cell: asyncio.Task[None] | None = None
        self._stop_asked = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._terminating: asyncio.Task[None] | None = None
        self.comm_manager = comm.get_comm_manager()
        for name in ("comm_open", "comm_msg", "comm_close"):
            self.shell_handlers[name] = getattr(self.comm_manager, name)
        self._running: RunningCell | None = None
        source = PanelSource(
            self._agent,
            self._interrupt_cell,
            lambda: self._running,
            lambda: self._cells.view,
            lambda: self.execution_count,
            wiring.setup,
            lock=self._cells.lock,
        )
        self._panel = Panel(source, self.log)
        self._panel.register(self.comm_manager)
        self._cells.watch = self._panel.changed

    def start(self) -> None:
        """Start answering messages, and shut down cleanly on SIGTERM."""
        super().start()
        self._loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self) -> None:
        if self._terminating is None:
            self._terminating = self._loop.create_task(self._terminate())

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The main thread's event loop, where cells run."""
        loop: asyncio.AbstractEventLoop = cast("Any", self.io_loop).asyncio_loop
        return loop

    @property
    def kernel_info(self) -> dict[str, Any]:
        """The base's reply without subshells and debugger (the base would import the debugger to check)."""
        return {
            "protocol_version": kernel_protocol_version,
            "implementation": self.implementation,
            "implementation_version": self.implementation_version,
            "language_info": self.language_info,
            "banner": self.banner,
            "help_links": self.help_links,
            "supported_features": [],
        }

    # -- cells --------------------------------------------------------------------------------------------

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: dict[str, Any] | None = None,
        cell_id: str | None = None,
    ) -> Reply:
        """Run one cell. A silent request, which front ends send by themselves, runs nothing."""
        if silent or not code.strip():
            return succeeded(self.execution_count)
        parent = self.get_parent("shell")
        outputs = CellOutputs(
            lambda kind, content: self._publish(kind, content, parent),
            front_end_of(cell_id, allow_stdin=allow_stdin),
            execution_count=self.execution_count,
        )
        live = outputs.front_end is FrontEnd.NOTEBOOK and self._agent.settings.live
        submitted = SubmittedCell(code, self.execution_count, cell_meta or {}, live, cell_id)
        self._stop_asked.clear()
        self._running = running = RunningCell(cell_id, self.execution_count)
        self._panel.cell_begins()
        self._agent.approvals.asker = self._line_asker() if allow_stdin else None
        self._cell = cell = asyncio.create_task(self._cells.run(submitted, outputs))
        try:
            await self._ended(cell)
            self.execution_count = max(self.execution_count, self._agent.ledger.cell)
            reply = self._reply(cell, outputs, running)
        finally:
            self._cell = self._running = None
            self._panel.changed()
        if store_history:
            await self._history.add(self.execution_count, code, outputs.plain_result)
        if reply["status"] == "error" and parent["content"].get("stop_on_error", True):
            super()._abort_queues()
        return reply

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """Do nothing: `do_execute` aborts the cells that wait, before its reply is sent.

        The base calls this after the reply, and so also aborts the cell that a client sends as soon as it has
        the reply: nobody would be told that it did not run.
        """

    def _line_asker(self) -> Asker:
        """Return an asker that asks the client that sent the running cell."""
        from agent_kernel.kernel.asking.questions import LineAsker, StdinChannel

        ident = self._get_shell_context_var(self._shell_parent_ident)
        channel = StdinChannel(self.stdin_socket, self.session)
        return LineAsker(channel.line_of(ident, self.get_parent("shell")))

    async def _ended(self, cell: asyncio.Task[None]) -> None:
        """Wait for the cell; after an interrupt, for at most `STOP_SECONDS`."""
        stopping = asyncio.create_task(self._stop_asked.wait())
        await asyncio.wait({cell, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not cell.done():
            await asyncio.wait({cell}, timeout=STOP_SECONDS)

    def _reply(self, cell: asyncio.Task[None], outputs: CellOutputs, running: RunningCell) -> Reply:
        outputs.finish()
        if not cell.done():
            return self._failed("StillRunning", "The runtime did not stop in time. Restart the kernel.")
        if cell.cancelled():
            by_person = outputs.front_end is not FrontEnd.BATCH
            said = stopped_after(running.seconds, by_person=by_person)
            return self._failed("KeyboardInterrupt", said)
        error = cell.exception()
        if error is None:
            return succeeded(self.execution_count, outputs.payload)
        if isinstance(error, CellRaised):
            return self._raised(error.content)
        if isinstance(error, AgentKernelError):
            self.log.info("The cell failed.", exc_info=error)
        else:
            self.log.error("The cell failed unexpectedly.", exc_info=error)
        return self._failed(*described(error))

    def _failed(self, ename: str, message: str) -> Reply:
        return self._raised(error_content(ename, message))

    def _raised(self, content: dict[str, Any]) -> Reply:
        self._publish("error", content, self.get_parent("shell"))
        return {"status": "error", "execution_count": self.execution_count, **content}

    def _publish(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Send on iopub with `parent` as the parent, even while another message is handled."""
        if self.session:
            self.session.send(self.iopub_socket, kind, content, parent=parent, ident=self._topic(kind))

    # -- help while typing --------------------------------------------------------------------------------

    async def do_complete(self, code: str, cursor_pos: int) -> Reply:
        """Return completions: names of magics, their arguments, paths after `@`, and Python's own."""
        from agent_kernel.kernel.magics.completion import complete, magic_at, runtime_names
        from agent_kernel.kernel.python import cursor

        part = cursor.python_part(code)
        types: list[dict[str, Any]] = []
        if part is not None and cursor_pos >= part.start:
            idle = self._cell is None  # else the session may be busy for long
            found = await cursor.complete(self._agent, part, cursor_pos) if idle else None
            texts, start, end = found or ([], cursor_pos, cursor_pos)
        else:
            names = await runtime_names(self._agent, magic_at(code, cursor_pos))
            matches, start, end = await asyncio.to_thread(complete, code, cursor_pos, names)
            texts, types = [each.text for each in matches], [each.to_json(start, end) for each in matches]
        return {
            "status": "ok",
            "matches": texts,
            "cursor_start": start,
            "cursor_end": end,
            "metadata": {"_jupyter_types_experimental": types} if types else {},
        }

    async def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: tuple[str, ...] = ()
    ) -> Reply:
        """Return the help of the magic under the cursor, or of the object in Python."""
        from agent_kernel.kernel.magics.completion import magic_at
        from agent_kernel.kernel.python import cursor

        part = cursor.python_part(code)
        if part is not None and cursor_pos >= part.start:
            idle = self._cell is None
            text = await cursor.explain(self._agent, part, cursor_pos, detail_level) if idle else None
        else:
            magic = magic_at(code, cursor_pos)
            text = magic.help if magic else None
        data = {"text/plain": text} if text else {}
        return {"status": "ok", "found": bool(text), "data": data, "metadata": {}}

    async def do_history(  # type: ignore[override]
        self, hist_access_type: str, output: bool, raw: bool, **asked: Any
    ) -> Reply:
        """Return cells run in this kernel and earlier ones. `raw` has no effect: cells are not translated."""
        rows = await self._history.find({"hist_access_type": hist_access_type, **asked})
        history = [(s, line, (source, result) if output else source) for s, line, source, result in rows]
        return {"status": "ok", "history": history}

    async def do_is_complete(self, code: str) -> Reply:
        """Return whether a console should send the cell at Enter."""
        from agent_kernel.kernel.magics.completion import completeness

        status = completeness(code)
        return {"status": status, "indent": ""} if status == "incomplete" else {"status": status}

    # -- messages while a cell runs -----------------------------------------------------------------------

    async def shell_main(self, subshell_id: str | None, msg: Any) -> None:
        """Answer all messages except execute requests immediately, even while a cell runs.

        The base class queues all messages: the live view's buttons would work only after the turn, and a
        reloaded page would wait for its widgets. This uses private names of ipykernel 7.
        """
        if not self._main_asyncio_lock.locked() or self._waits_its_turn(msg):
            await super().shell_main(subshell_id, msg)
            return
        ident = self._get_shell_context_var(self._shell_parent_ident)
        parent = self.get_parent("shell")
        try:
            handling = self.dispatch_shell(msg, subshell_id=subshell_id)
            await asyncio.create_task(handling, context=copy_context())
        finally:
            self.set_parent(ident, parent, channel="shell")
            if self._cell is not None:
                self._publish_status("busy", "shell", parent)

    def _waits_its_turn(self, msg: Any) -> bool:
        if len(msg) == 1 or self.session is None:  # the base's stop marker in the queue
            return True
        try:
            _, frames = self.session.feed_identities(msg, copy=False)
            header = self.session.deserialize(frames, content=False, copy=False)["header"]
        except (ValueError, KeyError, TypeError):
            return True  # the base reports what is wrong with it
        return bool(header["msg_type"] == "execute_request")

    # -- interrupt and shutdown ---------------------------------------------------------------------------

    def pre_handler_hook(self) -> None:
        """Do nothing: interrupts arrive as messages, not signals."""

    def post_handler_hook(self) -> None:
        """Do nothing, as in `pre_handler_hook`."""

    async def interrupt_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """Cancel the running cell. Runs on the control thread."""
        if self.session:
            self._loop.call_soon_threadsafe(self._interrupt_cell)
            self.session.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident=ident)

    def _interrupt_cell(self) -> None:
        """Cancel the cell once: a second cancel would disturb how it stops its command and keeps its work."""
        if self._cell is not None and not self._stop_asked.is_set():
            self._stop_asked.set()
            self._cell.cancel()

    async def do_shutdown(self, restart: bool) -> Reply:
        """Stop the cell and delete the container. Runs on the control thread, the work on the main thread."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._closed(restart), self._loop))
        return {"status": "ok", "restart": restart}

    def _process_children(self) -> list[Any]:
        """Return nothing: the runtime owns its processes, so ipykernel must not kill them at shutdown."""
        return []

    async def _closed(self, restart: bool = False) -> None:
        """Close the kernel once; later callers wait for the same close."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(restart))
        await asyncio.shield(self._closing)

    async def _terminate(self) -> None:
        """Handle SIGTERM: front ends send it when a shutdown takes long, operators to stop the kernel."""
        asked_by_message = self._closing is not None
        await self._closed()
        if not asked_by_message:
            self.io_loop.stop()

    async def _close(self, restart: bool) -> None:
        cell = self._cell
        self._panel.close()
        self._agent.screen.close()
        self._interrupt_cell()
        if cell is not None:
            await asyncio.wait({cell}, timeout=CLOSE_SECONDS)
        await self._agent.aclose(CLOSE_SECONDS, restart=restart)
        self._history.close()
