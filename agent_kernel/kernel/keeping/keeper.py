"""The kept session of a notebook: found again, resumed, and written after each cell."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, CapabilityMissing, InvalidRequest, NotFound
from agent_kernel.kernel.branches.tree import Position
from agent_kernel.kernel.front_end import FrontEnd
from agent_kernel.runtime.kept import CHANGED, KeepsSessions, KeptSession

if TYPE_CHECKING:
    from agent_kernel.kernel.keeping.base import KeptNotebook
    from agent_kernel.kernel.keeping.state import NotebookState
    from agent_kernel.kernel.keeping.words import CameBack
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.base import Runtime

MOST_RESPONSES = 200

_LOOKING = "docs files download diff vars get history usage replay container rewind branch"
"""Magics that change nothing, but look at what a session brings back."""


class NotebookKeeper:
    """Keeps one notebook. `session` is its kept session, None if it is not kept."""

    def __init__(self, notebook: KeptNotebook, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self.session: KeptSession | None = None
        self._notebook = notebook
        self._log = log
        self.declined = False
        """Whether the user has had the session forgotten: then it is not kept again unless asked to."""
        self._looked = False
        self._rival: KeptSession | None = None
        self._written: object = None
        self._told = ""
        notebook.branches.moved = self._moved

    @property
    def wanted(self) -> bool:
        """Whether the notebook is always kept, by its metadata or by the settings."""
        chosen = self._notebook.choices.now.keep
        return self._notebook.settings.keep if chosen is None else chosen

    async def sessions(self) -> KeepsSessions:
        """Return what keeps sessions. Raises `CapabilityMissing`."""
        runtime = await self._notebook.runtime()
        if not isinstance(runtime, KeepsSessions):
            raise CapabilityMissing("What runs this notebook keeps no sessions.")
        return runtime

    # -- cells --------------------------------------------------------------------------------------------

    async def begin(self, outputs: CellOutputs, *, changes: bool, names: frozenset[str]) -> None:
        """Begin a cell: the first one resumes the notebook's session, if there is one.

        `changes` and `names`: whether the cell changes something, and the names of its magics. Raises
        `InvalidRequest` if another kernel has resumed the session, or if it was deleted with its
        conversation: the next cell then begins anew.
        """
        if "session" in names or not (changes or names.intersection(_LOOKING.split())):
            return
        if self._rival is not None and changes:
            from agent_kernel.kernel.keeping.words import taken_over

            raise taken_over(self._rival)
        if not self._looked:
            await self._find(outputs)
            self._looked = True
        elif self.session is not None and changes:
            await self._check(self.session)

    async def end(self, outputs: CellOutputs) -> None:
        """Write what the cell has changed, if the notebook is kept. A failure is said once."""
        from agent_kernel.kernel.render.bundles import notice

        if self._rival is not None or (self.session is None and not self._should_begin()):
            return
        try:
            await self.save()
            self._told = ""
        except AgentKernelError as error:
            self._log.warning("The session was not kept.", exc_info=True)
            lost = isinstance(error, NotFound) and error.param == "session_id"
            self.session = None if lost else self.session
            said = f"This notebook could not be kept: {error}"
            if said != self._told:
                outputs.emit(notice(said))
            self._told = said

    def _should_begin(self) -> bool:
        notebook = self._notebook
        began = notebook.previous_id is not None or notebook.container.id is not None
        has_something = began or bool(notebook.documents.names)
        return self.wanted and has_something and self._looked and not self.declined

    async def check(self) -> None:
        """Raise `InvalidRequest` if the session is not this kernel's any more; see `begin`."""
        if self.session is not None and self._rival is None:
            await self._check(self.session)

    async def _check(self, session: KeptSession) -> None:
        from agent_kernel.kernel.keeping.words import deleted, taken_over

        try:
            now = await (await self.sessions()).kept_session(session.id, state=False)
        except NotFound:
            self.session = None  # forgotten elsewhere: the notebook goes on
            if await self._conversation_deleted():
                await self._begin_anew()
                raise deleted(session) from None
            return
        if now.revision != session.revision:
            self._rival = session
            raise taken_over(session)

    async def _conversation_deleted(self) -> bool:
        if self._notebook.previous_id is None:
            return False
        try:
            await (await self._notebook.runtime()).retrieve(self._notebook.previous_id)
        except NotFound:
            return True
        return False

    async def _moved(self) -> None:
        """Write that the notebook went back, before anything else happens."""
        if self.session is not None and self._rival is None:
            await self.save()

    # -- what is written ----------------------------------------------------------------------------------

    async def save(self, name: str | None = None, variables: Sequence[str] | None = None) -> KeptSession:
        """Keep the notebook as it is now, unless nothing has changed. Raises as `keep_session`."""
        from agent_kernel.kernel.keeping.state import written_state
        from agent_kernel.kernel.keeping.words import taken_over

        notebook = self._notebook
        position = await notebook.position()
        others = [each.moment for each in notebook.branches.tree.others.values() if each.moment is not None]
        responses = {moment.position.previous_id for moment in others} - {None, position.previous_id}
        new = replace(
            self.session or KeptSession(name=notebook.container.name),
            response_id=position.previous_id,
            container_id=notebook.container.id,
            state=written_state(notebook, variables),
            notebook=self._key(),
            responses=tuple(sorted(filter(None, responses)))[-MOST_RESPONSES:],
            interrupted=None,
        )
        new = new if name is None else replace(new, name=name)
        said = replace(new, revision=0, updated_at=0)
        if self.session is not None and said == self._written:
            return self.session
        try:
            self.session = await (await self.sessions()).keep_session(new)
        except InvalidRequest as error:
            if error.request_code == CHANGED:
                self._rival = new
                raise taken_over(new) from error
            raise
        self._written = replace(said, id=self.session.id, created_at=self.session.created_at)
        return self.session

    def _key(self) -> str:
        path = self._notebook.file
        if path is None:
            return ""
        text = f"{socket.gethostname()}:{path.absolute()}"
        return "".join(each if each.isprintable() else "?" for each in text)[:4096]

    # -- resuming -----------------------------------------------------------------------------------------

    async def _find(self, outputs: CellOutputs) -> None:
        """Resume the session that was kept of this notebook, if there is one."""
        from agent_kernel.kernel.keeping.words import elsewhere
        from agent_kernel.kernel.render.bundles import note

        key = self._key()
        if not key or (outputs.front_end is FrontEnd.BATCH and not self.wanted):
            return
        try:
            found = await (await self.sessions()).kept_sessions()
        except CapabilityMissing:
            return  # said when the notebook is to be kept
        mine = next((each for each in found if each.notebook == key), None)
        if mine is not None:
            await self.resume(mine.id, outputs)
            return
        path = key.partition(":")[2]
        others = [each for each in found if each.notebook.partition(":")[2] == path]
        if others:
            outputs.emit(note(elsewhere(others[0])))

    async def resume(self, session_id: str, outputs: CellOutputs) -> None:
        """Go on with a kept session, and say in one line what came back and what did not.

        Raises `InvalidRequest` if it is running or another kernel resumes it at this moment, `NotFound`,
        and `SandboxError` if its container cannot be asked now. Nothing has changed then.
        """
        from agent_kernel.kernel.keeping.resuming import container_of, conversation_of, documents_of, read
        from agent_kernel.kernel.keeping.words import resumed, taken_over
        from agent_kernel.kernel.render.bundles import note

        runtime, sessions = await self._notebook.runtime(), await self.sessions()
        kept = await sessions.kept_session(session_id)
        outputs.step("Resuming the session")
        state, back = read(kept)
        response_id, back = await conversation_of(runtime, kept, back)
        try:  # from now on it is this kernel's
            held = await sessions.keep_session(replace(kept, response_id=response_id))
        except InvalidRequest as error:
            if error.request_code == CHANGED:
                self._rival = kept
                raise taken_over(kept) from error
            raise
        state, back = await container_of(runtime, kept, state, back)
        state, back = await documents_of(runtime, state, back)
        self.session, self._rival, self._looked, self._written = held, None, True, None
        await self._go_on(state, response_id, back, held, outputs)
        outputs.emit(note(resumed(kept, back)))

    async def _go_on(
        self,
        state: NotebookState,
        response_id: str | None,
        back: CameBack,
        session: KeptSession,
        outputs: CellOutputs,
    ) -> None:
        from agent_kernel.kernel.container import CONTAINER_REPLACED
        from agent_kernel.kernel.transfer.uploaded import Uploaded

        notebook, there = self._notebook, not back.container and session.container_id is not None
        container_id = session.container_id if there else None
        uploaded = Uploaded()
        if container_id is not None:
            uploaded.bring_back(container_id, state.uploads, state.received)
        notebook.move_to(Position(response_id, tuple(state.notes), uploaded))
        notebook.recording.written = list(state.cassettes)
        notebook.skills.chosen = {each.name: each for each in state.skills}
        notebook.documents = state.documents
        notebook.choices.said = state.said
        notebook.approvals.said = state.approval or notebook.approvals.said
        notebook.ledger.records.extend(state.records)
        notebook.ledger.cell = max(notebook.ledger.cell, state.number + 1)
        outputs.renumber(notebook.ledger.cell)
        await notebook.container.adopt(container_id, state.params)
        notebook.branches.resume(state.tree, state.points, state.at if there else None)
        if back.container:
            notebook.branches.tree.cut(f"{back.container}")
            notebook.tell_model(CONTAINER_REPLACED)

    # -- the end ------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """Begin anew: an empty conversation and, with the next cell, an empty container.

        A kept session stays as it is, and so does its container; else the container is deleted.
        """
        notebook = self._notebook
        if self.session is not None and self._rival is None:
            await self.save()
        if self.session is None and notebook.opened is not None:
            await notebook.container.delete(notebook.opened, 10.0)
        await self._begin_anew()

    async def _begin_anew(self) -> None:
        notebook = self._notebook
        self.detach()
        await notebook.container.adopt(None, notebook.container.params)
        notebook.move_to(Position())
        notebook.branches.resume(type(notebook.branches.tree)(), (), None)

    def detach(self) -> None:
        """Keep this notebook no longer; what is kept stays."""
        self.session, self._rival, self._looked, self._written = None, None, True, None

    async def close(self, runtime: Runtime, seconds: float) -> None:
        """Write the last state, with a snapshot of the container; without a session, delete the container.

        Takes at most `seconds`. Errors go to the log: the session is then as the last cell left it.
        """
        container = self._notebook.container
        if self.session is None:
            await container.delete(runtime, seconds)
            return
        if self._rival is None:
            try:
                async with asyncio.timeout(seconds):
                    variables = await self._variables(runtime)
                    await self._notebook.branches.settle()
                    await self.save(variables=variables)
            except (AgentKernelError, TimeoutError):
                self._log.warning("The last state was not kept.", exc_info=True)
        container.stop_keeping_alive()

    async def _variables(self, runtime: Runtime) -> list[str]:
        """Return the names of Python's variables, which do not outlive their sandbox."""
        from agent_kernel.runtime.sessions import AsksSessions

        containers, container_id = runtime.containers, self._notebook.container.id
        if container_id is None or not isinstance(containers, AsksSessions):
            return []
        found = await containers.ask_session(container_id, {"ask": "variables"})
        rows = found.get("rows")
        return [str(row[0])[:80] for row in rows[:50]] if isinstance(rows, list) else []
