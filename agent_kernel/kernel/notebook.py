"""One notebook's conversation: its runtime, its container, and the chain of its turns. Knows no Jupyter."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, InvalidRequest, NotFound, SandboxGone
from agent_kernel.kernel.asking.approvals import NotebookApprovals
from agent_kernel.kernel.ledger import Ledger
from agent_kernel.kernel.preferences import Budget, Choices, from_metadata, of_notebook, parse_budget
from agent_kernel.kernel.transfer.mentions import Uploaded, attach
from agent_kernel.policy.rules import Policy

if TYPE_CHECKING:
    from openai.types.responses import Response

    from agent_kernel.kernel.magics.completion import Names
    from agent_kernel.kernel.magics.table import Arguments
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.render.artifacts import FileListing
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.kernel.turn_view import TurnView
    from agent_kernel.runtime.base import Runtime
    from agent_kernel.runtime.base import Session as Line

OpenRuntime = Callable[[], Awaitable["Runtime"]]
"""Opens the runtime when it is first needed; may raise any `AgentKernelError`."""

SHELL_MODEL = "agent_kernel/shell"
"""The model that runs its input as a command: how `!command` joins the same chain."""

SETTLE_SECONDS = 5.0
"""How long an interrupted cell may take to find out what was kept."""

_GONE = (NotFound, SandboxGone, InvalidRequest)  # InvalidRequest: how the API says "expired"

CONTAINER_REPLACED = (
    "The container of the cells above is gone, with its files and shell variables. This cell has a new, "
    "empty one; upload what it needs again."
)
CONTAINER_RENEWED = "The person replaced the container: it is new and empty."


class Notebook:
    """All of it is used from one event loop, one cell at a time."""

    def __init__(
        self,
        open_runtime: OpenRuntime,
        settings: KernelSettings,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.settings = settings
        self.approvals = NotebookApprovals(settings.approval)
        self.choices = Choices()
        self.uploaded = Uploaded()
        self.ledger = Ledger()
        self.container_id: str | None = None
        self._notebook_read = False
        self._open_runtime = open_runtime
        self._runtime: Runtime | None = None
        self._log = log
        self._previous_id: str | None = None
        self._unsettled_id: str | None = None
        self._announced = False
        self._line: Line | None = None
        self._running: TurnView | None = None
        self._notes: list[str] = []
        self._keeper: asyncio.Task[None] | None = None

    async def runtime(self) -> Runtime:
        """The runtime, opened at the first call."""
        if self._runtime is None:
            self._runtime = await self._open_runtime()
        return self._runtime

    @property
    def opened(self) -> Runtime | None:
        """The runtime if a cell has needed it already."""
        return self._runtime

    # -- what was chosen ----------------------------------------------------------------------------------

    @property
    def model(self) -> str | None:
        """The model that cells talk to; None leaves it to the runtime."""
        return self.choices.now.model or self.settings.model or None

    @property
    def budget(self) -> Budget:
        """What a turn may use; empty for no limit."""
        chosen = self.choices.now.budget
        return parse_budget(self.settings.budget) if chosen is None else chosen

    @property
    def instructions(self) -> str:
        """What the model is told before every turn: the kernel's own words, then the notebook's."""
        return "\n\n".join(filter(None, (self.settings.instructions, self.choices.now.instructions)))

    @property
    def approval(self) -> Policy:
        """What the notebook asks about before it runs; the runtime's own policy holds beside it."""
        return self.approvals.policy(self.choices.notebook.approval)

    def begin_cell(self, number: int, metadata: Mapping[str, Any]) -> None:
        """A cell begins, In [`number`]. Raises `InvalidRequest` for metadata of ours that is wrong."""
        self.ledger.cell = number
        self.choices.cell = from_metadata(metadata, where="this cell")
        path = notebook_path()
        if not self._notebook_read and path is not None:
            self.choices.notebook = of_notebook(path)
        self._notebook_read = True

    async def names(self, of: Arguments) -> Names:
        """Names that only the runtime knows, for Tab; none before it is opened or when it is lost."""
        from agent_kernel.kernel.magics.completion import Names
        from agent_kernel.kernel.render.artifacts import short_path, snapshot

        runtime = self._runtime
        try:
            if runtime is not None and of == "models":
                return Names(models=await runtime.models())
            if runtime is not None and of == "files" and self.container_id is not None:
                found = await snapshot(runtime.containers.files, self.container_id)
                return Names(files=[short_path(path) for path in sorted(found.files)])
        except AgentKernelError:
            self._log.info("Nothing can be completed now.", exc_info=True)
        return Names()

    def tell_model(self, note: str) -> None:
        """Have the next turn begin with a developer message that says this."""
        self._notes.append(note)

    # -- the container ------------------------------------------------------------------------------------

    async def container(
        self, outputs: CellOutputs, params: Mapping[str, str] | None = None
    ) -> tuple[str, FileListing]:
        """A live container and what is in it; a dead one is replaced, and that is said.

        A new one is made with `params` (`ContainerCreateParams`).
        """
        from agent_kernel.kernel.render.artifacts import snapshot
        from agent_kernel.kernel.render.items import notice

        containers = (await self.runtime()).containers
        if self.container_id is not None:
            try:
                return self.container_id, await snapshot(containers.files, self.container_id)
            except _GONE as error:
                self._log.warning("Container %s is gone: %s", self.container_id, error)
                self.container_id = None
                outputs.emit(notice(CONTAINER_REPLACED))
                self.tell_model(CONTAINER_REPLACED)
        created = await containers.create({"name": notebook_name(), **(params or {})})
        self.container_id = created.id
        minutes = created.expires_after.minutes if created.expires_after else None
        self._keep_alive(created.id, minutes)
        return created.id, await snapshot(containers.files, created.id)

    async def renew_container(self, params: Mapping[str, str], outputs: CellOutputs) -> None:
        """Make a new, empty container, and then delete the one in use. Errors as for `Containers.create`."""
        old, self.container_id = self.container_id, None
        try:
            await self.container(outputs, params)
        except BaseException:
            self.container_id = old
            raise
        if old is not None:
            self.tell_model(CONTAINER_RENEWED)
            with contextlib.suppress(*_GONE):
                await (await self.runtime()).containers.delete(old)

    def _keep_alive(self, container_id: str, minutes: int | None) -> None:
        """Use the container now and then as long as this kernel lives: a notebook may be left for lunch."""
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None
        if minutes:
            self._keeper = asyncio.create_task(self._kept_alive(container_id, minutes * 60 / 3))

    async def _kept_alive(self, container_id: str, every: float) -> None:
        runtime = await self.runtime()
        while True:
            await asyncio.sleep(every)
            try:
                await runtime.containers.files.list(container_id, limit=1)
            except _GONE:
                return  # the next cell finds out and says so
            except AgentKernelError:
                self._log.warning("Container %s could not be reached.", container_id, exc_info=True)

    # -- turns --------------------------------------------------------------------------------------------

    async def ask(self, prompt: str, outputs: CellOutputs) -> None:
        """Run a cell's prompt as a turn of the model."""
        await self._respond(await attach(self, outputs, prompt), outputs, self.model)

    async def shell(self, command: str, outputs: CellOutputs) -> None:
        """Run a `!` command as a turn of its own in the same chain, so that the model knows of it."""
        await self._respond(command, outputs, SHELL_MODEL)

    async def _respond(self, text: str, outputs: CellOutputs, model: str | None) -> None:
        from agent_kernel.kernel.turn_view import TurnFailed, TurnView

        container_id, before = await self.container(outputs)
        await self._look_for_unsettled()
        runtime = await self.runtime()
        turn = TurnView(outputs, announce_script=model is None and not self._announced)
        self._line = line = runtime.session()
        self._running = turn
        try:
            request = self._request(text, model, container_id)
            events = self.approvals.through(line.respond, request, outputs)
            await turn.run(self.ledger.watch(events, container_id))
        except asyncio.CancelledError:
            await self._settle(turn)
            raise
        except TurnFailed:
            with contextlib.suppress(AgentKernelError):  # the failure itself is what must be told
                await self._show_changes(turn, before, outputs)
            raise
        finally:
            self._line = self._running = None
            self._announced |= turn.announced
            self._advance(turn)
        await self._show_changes(turn, before, outputs)

    async def steer(self, text: str) -> str | None:
        """Say something to the running turn. Returns None when it was taken, else why not."""
        line, turn = self._line, self._running
        if line is None or turn is None or turn.response_id is None:
            return "No turn is running that could hear it. Send it in a moment, or as the next cell."
        event = await line.steer(turn.response_id, text)
        if event.type == "response.steer.accepted":
            turn.said(text)
            return None
        error = getattr(event, "error", None)
        return str(getattr(error, "message", None) or (error or {}).get("message"))

    async def _show_changes(self, turn: TurnView, before: FileListing, outputs: CellOutputs) -> None:
        from agent_kernel.kernel.render.artifacts import snapshot
        from agent_kernel.kernel.render.gallery import show_files

        if not turn.ran_commands or self.container_id is None:
            return
        runtime = await self.runtime()
        changed = (await snapshot(runtime.containers.files, self.container_id)).changed_since(before)
        self.ledger.wrote(file.path for file in changed)
        async for bundle in show_files(runtime, changed, self.settings):
            outputs.emit(bundle)

    def _request(self, text: str, model: str | None, container_id: str) -> dict[str, Any]:
        notes = [] if model == SHELL_MODEL else [("developer", said) for said in self._notes]
        request: dict[str, Any] = {
            "input": [
                {"type": "message", "role": role, "content": [{"type": "input_text", "text": words}]}
                for role, words in [*notes, ("user", text)]
            ],
            "tools": [
                {
                    "type": "shell",
                    "environment": {"type": "container_reference", "container_id": container_id},
                }
            ],
            "store": True,
            "stream": True,
        }
        optional = {
            "model": model,
            "previous_response_id": self._previous_id,
            "instructions": self.instructions if model != SHELL_MODEL else None,
            "agent_kernel": self._ours() if model != SHELL_MODEL else None,
        }
        return request | {name: value for name, value in optional.items() if value}

    def _ours(self) -> dict[str, Any]:
        """What the standard has no word for; an unknown server need not see it where nothing is asked for."""
        policy = self.approval
        asked = {"budget": self.budget, "approval": policy.to_json() if policy != Policy() else None}
        return {name: value for name, value in asked.items() if value}

    def _advance(self, turn: TurnView) -> None:
        """The chain goes on from a turn that can be continued, else from the one before it."""
        if turn.continued_from:
            self._previous_id = turn.continued_from
            self._notes.clear()

    async def _settle(self, turn: TurnView) -> None:
        """After an interrupt: take what the runtime kept; bounded in time."""
        response = await self._stored(turn.response_id) if turn.response_id else None
        turn.settle(response)
        self._unsettled_id = turn.response_id if response is None else None

    async def _look_for_unsettled(self) -> None:
        """A remote runtime may have stored an interrupted turn after we asked for it."""
        if self._unsettled_id is not None:
            response = await self._stored(self._unsettled_id)
            if response is not None:
                self._previous_id = response.id
            self._unsettled_id = None

    async def _stored(self, response_id: str) -> Response | None:
        """A stored response that has ended in a way that can be continued."""
        runtime = await self.runtime()
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                response = await runtime.retrieve(response_id)
        except (AgentKernelError, TimeoutError):
            self._log.info("Response %s was not kept.", response_id, exc_info=True)
            return None
        return response if response.status in ("completed", "incomplete") else None

    # -- the end ------------------------------------------------------------------------------------------

    async def aclose(self, seconds: float) -> None:
        """Delete the container and release the runtime, each within `seconds`. Errors go to the log."""
        if self._keeper is not None:
            self._keeper.cancel()
        runtime, self._runtime = self._runtime, None
        if runtime is None:
            return
        container_id, self.container_id = self.container_id, None
        try:
            if container_id is not None:
                with contextlib.suppress(*_GONE):
                    async with asyncio.timeout(seconds):
                        await runtime.containers.delete(container_id)
        except (AgentKernelError, TimeoutError):
            self._log.warning("Container %s was left to its lease.", container_id, exc_info=True)
        try:
            async with asyncio.timeout(seconds):
                await runtime.aclose()
        except (AgentKernelError, TimeoutError):
            self._log.warning("The runtime did not close cleanly.", exc_info=True)


def notebook_path() -> Path | None:
    """Where the notebook lies, if the front end tells it: as it was when the kernel started."""
    told = os.environ.get("JPY_SESSION_NAME")  # a path of the front end's, not a setting
    return Path(told) if told else None


def notebook_name() -> str:
    """A name for the container: the notebook's where the front end tells it, else `notebook`."""
    stem = (notebook_path() or Path()).stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:64] or "notebook"
