"""A notebook's conversation: its runtime, container, and chain of turns. Independent of Jupyter."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.cassettes.cassette import PREFIX
from agent_kernel.errors import AgentKernelError
from agent_kernel.kernel.asking.approvals import NotebookApprovals
from agent_kernel.kernel.branches.branches import Branches
from agent_kernel.kernel.branches.tree import Position
from agent_kernel.kernel.container import NotebookContainer
from agent_kernel.kernel.front_end import FrontEnd
from agent_kernel.kernel.keeping.keeper import NotebookKeeper
from agent_kernel.kernel.ledger import Ledger
from agent_kernel.kernel.offers.tools import PYTHON_MODEL, SHELL_MODEL, USER_MODELS, tools_of
from agent_kernel.kernel.origin.origin import container_name
from agent_kernel.kernel.preferences import Budget, Choices, Rerun, from_metadata, parse_budget
from agent_kernel.kernel.recording.recording import NotebookRecording
from agent_kernel.kernel.transfer.documents import NotebookDocuments
from agent_kernel.kernel.transfer.uploaded import Uploaded
from agent_kernel.policy.rules import Policy
from agent_kernel.runtime.network.base import DISABLED

if TYPE_CHECKING:
    from pathlib import Path

    from openai.types.responses import Response

    from agent_kernel.kernel.origin.origin import NotebookOrigin
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.settings import KernelSettings
    from agent_kernel.kernel.transfer.prompt import Prompt
    from agent_kernel.kernel.turn_view import TurnView
    from agent_kernel.kernel.written import WrittenFiles
    from agent_kernel.runtime.base import Runtime
    from agent_kernel.runtime.base import Session as Line

OpenRuntime = Callable[[], Awaitable["Runtime"]]
"""Opens the runtime when first needed; may raise any `AgentKernelError`."""

Attach = Callable[["Notebook", "CellOutputs", str], Awaitable["Prompt"]]
"""Uploads the files that a prompt mentions; returns the prompt for the model."""

MAX_NOTES = 40
"""The number of developer messages kept for the model's next turn; older ones are dropped."""

INCLUDE = ["code_interpreter_call.outputs", "file_search_call.results", "web_search_call.results"]
"""What responses have only on request: the outputs of code, and what searches found."""

SETTLE_SECONDS = 5.0
"""Seconds that an interrupted cell waits for the runtime's record of the turn."""

CHANGES_UNKNOWN = (
    "The container was restored during this turn, so its new files are not shown. `%files` lists all files."
)


class Notebook:
    """One notebook's conversation. Use it from one event loop, one cell at a time.

    `attach` uploads the files that a prompt mentions and returns the prompt. `origin` reads its metadata.
    """

    def __init__(
        self,
        open_runtime: OpenRuntime,
        settings: KernelSettings,
        log: logging.Logger | logging.LoggerAdapter[Any],
        attach: Attach,
        origin: NotebookOrigin | None = None,
    ) -> None:
        from agent_kernel.kernel.offers.screen import NotebookScreen
        from agent_kernel.kernel.offers.servers import NotebookServers
        from agent_kernel.kernel.offers.skills import NotebookSkills

        self.settings = settings
        self.approvals = NotebookApprovals(settings.approval)
        self.choices = Choices()
        self.uploaded = Uploaded()
        self.documents = NotebookDocuments()
        self.servers = NotebookServers()
        self.screen = NotebookScreen(self.runtime)
        self.skills = NotebookSkills(self.runtime)
        self.ledger = Ledger()
        self.container = NotebookContainer(self.runtime, self.tell_model, log, self.skills.equip)
        self.recording = NotebookRecording(self, SHELL_MODEL)
        self.file: Path | None = None
        """The notebook's file, if it is known."""
        self.branches = Branches(self.container, self.runtime, self, settings, log)
        self.kept = NotebookKeeper(self, log)
        self._origin = origin
        self._unread, self._problem_shown = origin is not None, False
        self._open_runtime = open_runtime
        self._attach = attach
        self._runtime: Runtime | None = None
        self._log = log
        self._previous_id: str | None = None
        self._unsettled_id: str | None = None
        self._line: Line | None = None
        self._running: TurnView | None = None
        self.notes: list[str] = []
        self._sent: list[str] = []

    async def runtime(self) -> Runtime:
        """Return the runtime, opened at the first call."""
        if self._runtime is None:
            self._runtime = await self._open_runtime()
        return self._runtime

    @property
    def opened(self) -> Runtime | None:
        """The runtime, or None if no cell has needed it yet."""
        return self._runtime

    # -- preferences --------------------------------------------------------------------------------------

    @property
    def model(self) -> str | None:
        """The model used by cells; None leaves the choice to the runtime.

        A configured cassette is played whatever the notebook says, so that no replay asks a real model.
        """
        if (self.settings.model or "").startswith(PREFIX):
            return self.settings.model
        return self.choices.now.model or self.settings.model or None

    @property
    def budget(self) -> Budget:
        """The limits of one turn; empty means unlimited."""
        chosen = self.choices.now.budget
        return parse_budget(self.settings.budget) if chosen is None else chosen

    @property
    def instructions(self) -> str:
        """The instructions sent with every turn: the kernel's, then the notebook's."""
        return "\n\n".join(filter(None, (self.settings.instructions, self.choices.now.instructions)))

    @property
    def provenance(self) -> bool:
        """Whether figures of answers are linked to the outputs that have them."""
        chosen = self.choices.now.provenance
        return self.settings.provenance if chosen is None else chosen

    def rerun(self, front_end: FrontEnd) -> Rerun:
        """Return what a cell does that has run before. Where cells have no ids, it goes on by default."""
        default: Rerun = "rewind" if front_end is FrontEnd.NOTEBOOK else "continue"
        return self.choices.now.rerun or self.settings.rerun or default

    @property
    def approval(self) -> Policy:
        """The notebook's approval policy; the runtime applies its own policy as well."""
        return self.approvals.policy(self.choices.notebook.approval)

    async def begin_cell(self, number: int, metadata: Mapping[str, Any], outputs: CellOutputs) -> None:
        """Begin cell `In [number]`, and read the notebook's settings if they were not read yet.

        A note says once if they cannot be read. Raises `InvalidRequest` for invalid `agent_kernel` metadata.
        """
        from agent_kernel.kernel.render.bundles import note

        self.ledger.cell = number
        self.choices.cell = from_metadata(metadata, where="this cell")
        if self._origin is None or not self._unread:
            return
        found = await self._origin.read()
        self.choices.notebook, self._unread = found.preferences, bool(found.problem)
        self.container.name, self.file = container_name(found.path), found.path
        if found.problem and not self._problem_shown:
            self._problem_shown = True
            outputs.emit(note(found.problem))

    def tell_model(self, note: str) -> None:
        """Add a developer message to the beginning of the model's next turn; only the last ones are kept."""
        others = [each for each in self.notes if each != note]
        self.notes = [*others[1 - MAX_NOTES :], note]

    @property
    def previous_id(self) -> str | None:
        """The response that the next turn continues."""
        return self._previous_id

    async def position(self) -> Position:
        """Return where the conversation stands, for `move_to`."""
        await self._look_for_unsettled()
        return Position(self._previous_id, tuple(self.notes), self.uploaded.copy())

    def move_to(self, position: Position) -> None:
        """Continue the conversation from there."""
        self._previous_id, self._unsettled_id = position.previous_id, None
        self.notes = list(position.notes)
        known = position.uploaded
        self.uploaded = known.copy() if isinstance(known, Uploaded) else Uploaded()

    # -- turns --------------------------------------------------------------------------------------------

    async def ask(self, prompt: str, outputs: CellOutputs) -> None:
        """Run a cell's prompt as a turn of the model."""
        from agent_kernel.kernel.transfer.prompt import for_model

        attached = await self._attach(self, outputs, prompt)
        sees = self.recording.sees()
        attached = await for_model(attached, await self.runtime(), self.model, outputs, sees=sees)
        await self._respond(attached, outputs, self.model, prompt)

    async def shell(self, command: str, outputs: CellOutputs, model: str = SHELL_MODEL) -> None:
        """Run a `!` command as a turn of the same conversation, so that the model sees it.

        `model` is that of the command; `SCREEN_MODEL` shows the container's screen.
        """
        from agent_kernel.kernel.transfer.prompt import Prompt

        await self._respond(Prompt(command), outputs, model)

    async def python(self, code: str, outputs: CellOutputs, language: str = "python") -> None:
        """Run code in the session of its language, `python` or `r`, as a turn of the same conversation.

        Raises `CellRaised` if it ends with an exception.
        """
        from agent_kernel.kernel.transfer.prompt import Prompt

        await self._respond(Prompt(code, language=language), outputs, PYTHON_MODEL)

    async def _respond(
        self, prompt: Prompt, outputs: CellOutputs, model: str | None, asked: str | None = None
    ) -> None:
        """Run a turn. `asked` is the cell's prompt as it was written, None for a command of the user."""
        from agent_kernel.kernel.provenance.turn import TurnItems
        from agent_kernel.kernel.python.view import PythonView
        from agent_kernel.kernel.turn_view import TurnFailed, TurnView

        container = await self.container.open(outputs)
        await self._look_for_unsettled()
        runtime = await self.runtime()
        record = self.ledger.begin(prompt.text, container.id)
        items = TurnItems(record.asked, record.again, linked=self.provenance)
        turn = (
            PythonView(outputs, items)
            if model == PYTHON_MODEL
            else TurnView(outputs, items, prewritten=self._unannounced())
        )
        self._line = line = runtime.session()
        self._running = turn
        try:
            request = self._request(prompt, model, container.id)
            tape = await self.recording.begin(asked, request)
            events = self.approvals.through(line.respond, request, outputs, runtime)
            await turn.run(self.ledger.watch(tape.watch(events) if tape else events, record))
        except asyncio.CancelledError:
            await self._settle(turn)
            raise
        except TurnFailed:
            with contextlib.suppress(AgentKernelError):  # report the turn's failure, not this one
                await self._show_changes(turn, container.written, outputs)
            raise
        finally:
            self._line = self._running = None
            if turn.ran_tools or (turn.ending == "running" and turn.response_id is not None):
                self.container.touched()
            self._advance(turn)
        await self._show_changes(turn, container.written, outputs)
        await self.recording.end(tape, outputs)
        if turn.raised is not None:
            raise turn.raised

    def _unannounced(self) -> str:
        """Return the prefix of pre-written models, "" if this notebook has had an answer of one before."""
        prefix = self.recording.prewritten
        return "" if any(prefix and each.model.startswith(prefix) for each in self.ledger.records) else prefix

    async def steer(self, text: str) -> str | None:
        """Send `text` to the running turn. Returns None if it was accepted, else the reason."""
        line, turn = self._line, self._running
        if line is None or turn is None or turn.response_id is None:
            return "No turn is running. Try again in a moment, or send this as the next cell."
        event = await line.steer(turn.response_id, text)
        if event.type == "response.steer.accepted":
            turn.said(text)
            return None
        error = getattr(event, "error", None)
        return str(getattr(error, "message", None) or (error or {}).get("message"))

    async def _show_changes(self, turn: TurnView, written: WrittenFiles, outputs: CellOutputs) -> None:
        from agent_kernel.kernel.render.bundles import note
        from agent_kernel.kernel.render.files.gallery import GalleryLimits, show_files

        if not turn.ran_tools or self.container.id is None:
            return
        changed = await written.find()
        if not changed.known:
            outputs.emit(note(CHANGES_UNKNOWN))
            return
        self.ledger.wrote(file.path for file in changed.files)
        limits = GalleryLimits(self.settings.max_inline, self.settings.max_inline_files)
        tables: list[str] = []
        runtime = await self.runtime()
        bundles = show_files(
            runtime, changed.files, limits, count=changed.count, captions=tables, displayed=turn.displayed
        )
        async for bundle in bundles:
            outputs.emit(bundle)
        for table in tables:
            self.tell_model(f"The notebook shows a preview of this table to the user. {table}")

    def _request(self, prompt: Prompt, model: str | None, container_id: str) -> dict[str, Any]:
        self._sent = notes = [] if model in USER_MODELS else list(self.notes)
        told = [("developer", [{"type": "input_text", "text": note}]) for note in notes]
        request: dict[str, Any] = {
            "input": [
                {"type": "message", "role": role, "content": content}
                for role, content in [*told, ("user", prompt.content())]
            ],
            "tools": self._tools(container_id, model, prompt.language),
            "store": True,
            "stream": True,
        }
        optional = {
            "model": model,
            "previous_response_id": self._previous_id,
            "include": INCLUDE if model != SHELL_MODEL else None,
            "instructions": self.instructions if model not in USER_MODELS else None,
            "agent_kernel": (self._extensions() if model not in USER_MODELS else {}) | self.answers(),
        }
        return request | {name: value for name, value in optional.items() if value}

    def _tools(self, container_id: str, model: str | None, language: str) -> list[dict[str, Any]]:
        asks = model not in USER_MODELS
        tools = tools_of(container_id, self.settings, model, language, self.screen)
        return [*tools, *self.documents.tools(asks=asks), *(self.servers.tools() if asks else ())]

    def _extensions(self) -> dict[str, Any]:
        """Return the request's `agent_kernel` field; empty if the notebook sets none of it."""
        policy = self.approval.to_json() if self.approval != Policy() else None
        asked = {"budget": self.budget, "approval": policy}
        return {name: value for name, value in asked.items() if value}

    def answers(self) -> dict[str, bool]:
        """Return the field that says that questions of a running turn are answered; else nothing.

        Without a network and MCP servers there are none, and other servers do not know the field.
        """
        policy = self.container.params.get("network_policy") or DISABLED
        asked = policy["type"] != "disabled" or bool(self.servers.tools())
        return {"answers": True} if self.approvals.asker and asked else {}

    def _advance(self, turn: TurnView) -> None:
        """Continue the chain from this turn if possible, else from the previous one."""
        if turn.continued_from:
            self._previous_id = turn.continued_from
            self.notes = [each for each in self.notes if each not in self._sent]

    async def _settle(self, turn: TurnView) -> None:
        """After an interrupt, read the stored response of the turn. Waits at most `SETTLE_SECONDS`."""
        response = await self._stored(turn.response_id) if turn.response_id else None
        turn.settle(response)
        self._unsettled_id = turn.response_id if response is None else None

    async def _look_for_unsettled(self) -> None:
        """Look again for an interrupted turn, which a remote runtime may have stored later."""
        if self._unsettled_id is not None:
            response = await self._stored(self._unsettled_id)
            if response is not None:
                self._previous_id = response.id
            self._unsettled_id = None

    async def _stored(self, response_id: str) -> Response | None:
        """Return the stored response if it can be continued, else None."""
        runtime = await self.runtime()
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                response = await runtime.retrieve(response_id, include=INCLUDE)
        except (AgentKernelError, TimeoutError):
            self._log.info("Response %s was not stored.", response_id, exc_info=True)
            return None
        return response if response.status in ("completed", "incomplete") else None

    # -- the end ------------------------------------------------------------------------------------------

    async def aclose(self, seconds: float, *, restart: bool = False) -> None:
        """Delete or keep the container and close the runtime, each within `seconds`. Errors go to the log.

        Before a `restart`, what the next process needs to know of this notebook is kept.
        """
        self.container.stop_keeping_alive()
        if self._origin is not None and not restart:
            self._origin.forget()
        if self._runtime is None:
            return
        await self.kept.close(self._runtime, seconds)
        runtime, self._runtime = self._runtime, None
        try:
            async with asyncio.timeout(seconds):
                await runtime.aclose()
        except (AgentKernelError, TimeoutError):
            self._log.warning("The runtime did not close cleanly.", exc_info=True)
