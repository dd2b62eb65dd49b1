"""The runtime in this process: a turn loop over a store, a model and a sandbox.

    request ─► preparation ─► run ─► loop: model ─► tools ─► model ─► ... ─► stored response

`tenants` puts the components together; here is what one tenant can ask of them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

from openai.types import ContainerCreateResponse
from openai.types.containers import FileCreateResponse
from openai.types.responses import CompactedResponse, Response, ResponseStreamEvent

from agent_kernel.errors import InvalidRequest, NotFound
from agent_kernel.keys import Key
from agent_kernel.models.base import HasServer
from agent_kernel.models.server_report import ServerReport
from agent_kernel.protocol import ids
from agent_kernel.protocol.response import total_usage
from agent_kernel.runtime.access.keys import StoredKeys
from agent_kernel.runtime.background.recovery import journal_of
from agent_kernel.runtime.base import Order, Page, ResponseRequest, SessionEvent
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.deleting import DeletedSession
from agent_kernel.runtime.deletion.deletion import SessionDeletion
from agent_kernel.runtime.included import Included
from agent_kernel.runtime.keeping.sessions import LocalKeptSessions
from agent_kernel.runtime.paging import Asked, page
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.reach import answer_of, event_of
from agent_kernel.runtime.skills.base import KnownSkill, SkillThere
from agent_kernel.runtime.skills.lent import LentSkills
from agent_kernel.runtime.skills.skills import LocalSkills
from agent_kernel.runtime.tenants import Tenant, Tenants
from agent_kernel.runtime.turns.context.compaction import compacted, for_model
from agent_kernel.runtime.turns.context.estimate import estimate
from agent_kernel.runtime.turns.conversations import LocalConversations
from agent_kernel.runtime.turns.history import join
from agent_kernel.runtime.turns.input_items import Shown, shown
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.runtime.turns.session import LocalSession
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.runtime.vector_stores.library import LocalLibrary
from agent_kernel.runtime.vector_stores.uploads import LocalUploads
from agent_kernel.runtime.vector_stores.vector_stores import LocalVectorStores, none_here
from agent_kernel.store.records import ResponseRow, SkillNote


class TenantRuntime(LocalKeptSessions, LocalLibrary, LentSkills):
    """A Responses API for one tenant. What belongs to another tenant does not exist here."""

    def __init__(self, tenants: Tenants, tenant: Tenant) -> None:
        super().__init__(tenant.rows, tenants.parts.most_sessions)
        self._tenants = tenants
        self._tenant = tenant
        self._rows = tenant.rows
        self._turns = tenant.turns
        self._background = tenant.background
        self._preparation = tenant.preparation
        self._coordination = tenants.parts.store.coordination

    def for_key(self, key: Key) -> TenantRuntime:
        """See `ServedRuntime`."""
        return TenantRuntime(self._tenants, self._tenants.of(key))

    @property
    def keys(self) -> StoredKeys:
        """See `ServedRuntime`."""
        return self._tenants.keys

    @property
    def containers(self) -> LocalContainers:
        """See `Runtime`."""
        return self._tenant.containers

    @property
    def conversations(self) -> LocalConversations:
        """See `ServedRuntime`."""
        return self._tenant.conversations

    @property
    def files(self) -> LocalFiles:
        """See `ServedRuntime`."""
        return self._tenant.files

    @property
    def vector_stores(self) -> LocalVectorStores:
        """See `KeepsDocuments`. Raises `CapabilityMissing` where the store has none."""
        if self._tenant.vector_stores is None:
            raise none_here()
        return self._tenant.vector_stores

    @property
    def uploads(self) -> LocalUploads:
        """See `KeepsDocuments`. Raises `CapabilityMissing` where the store has none."""
        if self._tenant.uploads is None:
            raise none_here()
        return self._tenant.uploads

    @property
    def skills(self) -> LocalSkills:
        """See `KeepsSkills`."""
        return self._tenant.skills

    async def offered_skills(self) -> Sequence[KnownSkill]:
        """See `EquipsContainers`."""
        found = await asyncio.to_thread(self._tenants.parts.skills.offered)
        return [KnownSkill(name, name, description) for name, description in found]

    async def skills_in(self, container_id: str) -> Sequence[SkillThere]:
        """See `EquipsContainers`."""
        await self._tenant.containers.retrieve(container_id)
        return _there(await self._tenant.equipment.of(container_id))

    async def equip(self, container_id: str, skills: Sequence[Mapping[str, Any]]) -> Sequence[SkillThere]:
        """See `EquipsContainers`."""
        await self._tenant.containers.retrieve(container_id)
        return _there(await self._tenant.equipment.put_exactly(container_id, skills))

    async def start(self) -> None:
        """See `ServedRuntime`."""
        await self._tenants.start()

    def session(self) -> LocalSession:
        """See `Runtime`."""
        return LocalSession(self._turns, self._tenant.connections, self._steer_elsewhere)

    async def _steer_elsewhere(self, response_id: str, given: object) -> SessionEvent | None:
        connection = self._tenant.connections.get(response_id)
        if connection is not None:
            return await connection.steer(response_id, given, here=False)
        said = await self._ask_owner(response_id, {"steer": given})
        return event_of(said["event"]) if said else None

    async def _ask_owner(self, response_id: str, question: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Put a question to the process that runs a turn; None if it is not another one."""
        row = await self._rows.response(response_id)
        if row is None or row.owner in (None, self._coordination.id):
            return None
        return answer_of(await self._coordination.ask(row.owner, response_id, json.dumps(question)))

    async def respond(self, request: ResponseRequest) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Run one turn and stream it; see `Runtime.respond`.

        With `background` the turn goes on when the generator is closed; `cancel` ends it.
        """
        if request.get("background") is True:
            response_id = await self._begin(request)
            shown = Included(request.get("include") or ())
            async with aclosing(shown.events(self._background.follow(response_id, -1))) as events:
                async for event in events:
                    yield event
            return
        with self._turns.admitted():
            async with self._turns.prepared(request) as run, aclosing(self._turns.events(run)) as events:
                async for event in events:
                    yield event

    async def _begin(self, request: ResponseRequest) -> str:
        interrupt = Interrupt()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._turns.admitted())
            run = await stack.enter_async_context(self._turns.prepared(request, interrupt))
            await self._background.start(run, interrupt, stack.pop_all())
        return run.id

    async def follow(
        self, response_id: str, after: int = -1, *, include: Sequence[str] = ()
    ) -> AsyncGenerator[ResponseStreamEvent, None]:
        """See `ServedRuntime`."""
        row = await self._row(response_id)
        _check_background(row, "streamed again")
        shown = _included(row, include)
        async with aclosing(shown.events(self._follow(row, after))) as events:
            async for event in events:
                yield event

    async def _follow(self, row: ResponseRow, after: int) -> AsyncGenerator[ResponseStreamEvent, None]:
        response_id = row.id
        while True:
            before = row.owner, after
            elsewhere = row.owner not in (None, self._coordination.id)
            # A turn of this process is followed to its end in one go. Of another process's turn the journal
            # is read each time that process says that it has grown.
            news = self._coordination.news(row.owner or "", response_id) if elsewhere else _once()
            async with aclosing(news):
                async for _ in news:
                    async with aclosing(self._background.follow(response_id, after)) as events:
                        async for event in events:
                            after = event.sequence_number
                            yield event
            if not elsewhere:
                return
            # The news end with the turn or with its process. `_row` recovers the turn of a dead process: it
            # may now run here, or have got its last events. Only when neither owner nor journal has changed
            # is there nothing more to come.
            try:
                row = await self._row(response_id)
            except NotFound:  # deleted meanwhile
                return
            if (row.owner, after) == before:
                return

    async def cancel(self, response_id: str) -> Response:
        """See `ServedRuntime`."""
        row = await self._row(response_id)
        _check_background(row, "cancelled")
        await self._cancel(row)
        return await self.retrieve(response_id)

    async def _cancel(self, row: ResponseRow) -> None:
        if row.owner in (None, self._coordination.id):
            await self._background.cancel(row.id)
        elif row.request.get("background"):
            await self._coordination.cancel(row.owner, row.id)

    async def retrieve(self, response_id: str, *, include: Sequence[str] = ()) -> Response:
        """See `Runtime`. A running response is returned as far as it has come."""
        snapshot = self._background.snapshot(response_id)  # of this tenant's turns, as all that is here
        row = await self._row(response_id)
        shown = _included(row, include)
        if snapshot is not None:
            return shown.response(snapshot)
        if row.owner is None:
            return shown.response(Response.construct(**row.response))
        events = [json.loads(text) for _, text in await journal_of(self._rows, response_id)]
        output = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        begun = any(event["type"] == "response.in_progress" for event in events)
        status = "in_progress" if begun else row.response["status"]
        return shown.response(Response.construct(**{**row.response, "status": status, "output": output}))

    async def answer(self, response_id: str, given: Mapping[str, Any]) -> None:
        """See `AnswersQuestions`."""
        if self._tenant.questions.asks(response_id) or not await self._ask_owner(
            response_id, {"answer": given}
        ):
            self._tenant.questions.answer(response_id, given)

    async def delete(self, response_id: str) -> None:
        """See `Runtime`. Turns after it can no longer be continued."""
        await self._cancel(await self._row(response_id))
        if not await self._rows.delete_response(response_id):
            raise _no_response(response_id)

    async def delete_session(self, session_id: str) -> DeletedSession:
        """See `DeletesSessions`."""
        parts, tenant = self._tenants.parts, self._tenant
        forget = tenant.files.forget
        deletion = SessionDeletion(self._rows, parts.store.blobs, tenant.containers, forget=forget)
        return await deletion.delete(session_id)

    async def input_items(
        self,
        response_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Order = "desc",
        include: Sequence[str] = (),
    ) -> Page[Shown]:
        """See `ServedRuntime`."""
        row = await self._row(response_id)
        visible = _included(row, include)
        return await page([shown(visible.item(item)) for item in row.input], Asked(after, limit, order))

    async def count_tokens(self, request: ResponseRequest) -> int:
        """See `ServedRuntime`; docs/api.md says how it is estimated."""
        turn = read_request({"input": [], **_without_nulls(request)})
        history = await self._preparation.history(turn)
        items = join(history, await self._preparation.resolved(turn.input, history))
        extra: list[Mapping[str, Any]] = [{"tools": list(turn.tools)}] if turn.tools else []
        if turn.instructions:
            extra.append({"text": turn.instructions})
        return estimate([*for_model(items), *extra])

    async def compact(self, request: ResponseRequest) -> CompactedResponse:
        """See `ServedRuntime`."""
        if "model" not in request:
            raise InvalidRequest("model is missing.", param="model")
        turn = read_request({"input": [], **_without_nulls(request)})
        model, upstream_name = self._preparation.model(turn)
        await self._preparation.check_input(turn, model)
        history = await self._preparation.history(turn)
        items = join(history, await self._preparation.resolved(turn.input, history))
        if not items:
            raise InvalidRequest("There is nothing to compact.", param="input")
        with self._turns.admitted():
            told = await self._preparation.attachments.filled(items)
            item, usage = await compacted(model, upstream_name, told)
        kept = [each for each in items if each["type"] == "message" and each.get("role") == "user"]
        return CompactedResponse.construct(
            id=ids.response_id(),
            object="response.compaction",
            created_at=int(time.time()),
            output=[*(shown(each) for each in kept), item],
            usage=total_usage([usage]),
        )

    async def create_container(self, params: Mapping[str, Any]) -> ContainerCreateResponse:
        """See `ServedRuntime`."""
        return await self._tenant.containers.retrieve(await self._preparation.container(params))

    async def copy_file(self, container_id: str, file_id: str) -> FileCreateResponse:
        """See `ServedRuntime`."""
        return await self._tenant.files.copy(file_id, container_id, self._tenant.containers.files)

    async def models(self) -> Sequence[str]:
        """See `Runtime`."""
        return self._tenants.parts.models.names()

    async def model_server(self, name: str | None) -> ServerReport | None:
        """See `runtime.base.AsksModelServers`."""
        model, upstream_name = self._tenants.parts.models.resolve(name)
        return await model.server(upstream_name) if isinstance(model, HasServer) else None

    async def measures(self) -> str:
        """See `ServedRuntime`. The tenant without a name sees the figures of all."""
        everything = not self._tenant.name
        rows = self._tenants.parts.store.rows if everything else self._rows
        gauges = {
            "containers": sum(row.status == "running" for row in await rows.containers()),
            "background_turns": (self._tenants.background_turns() if everything else len(self._background)),
        }
        return self._tenant.metrics.render(gauges)

    async def aclose(self) -> None:
        """Release everything, for all tenants; containers live on until their lease ends. Idempotent."""
        await self._tenants.aclose()

    async def _row(self, response_id: str) -> ResponseRow:
        await self._tenants.recovery.once()
        row = await self._rows.response(response_id)
        if row is None:
            raise _no_response(response_id)
        if row.owner is None:
            return row
        if await self._tenants.recovery.again():
            return await self._row(response_id)
        if row.owner != self._coordination.id:  # another request may have just recovered it
            row = await self._rows.response(response_id)
        if row is None:
            raise _no_response(response_id)
        return row


class LocalRuntime(TenantRuntime):
    """A Responses API in this process, for the tenant without a named key; `for_key` serves the others."""

    def __init__(self, parts: RuntimeParts) -> None:
        tenants = Tenants(parts)
        super().__init__(tenants, tenants.of(Key()))


async def _once() -> AsyncGenerator[None, None]:
    yield


def _without_nulls(request: ResponseRequest) -> dict[str, Any]:
    return {name: value for name, value in request.items() if value is not None}


def _included(row: ResponseRow, include: Sequence[str]) -> Included:
    """Return what is shown of a stored response: what its own request included, and what is asked for now."""
    return Included({*(row.request.get("include") or ()), *include})


def _check_background(row: ResponseRow, what: str) -> None:
    if not row.request.get("background"):
        raise InvalidRequest(
            f"Only a response made with background true can be {what}.",
            hint="To end any other, close its connection.",
            param="response_id",
        )


def _no_response(response_id: str) -> NotFound:
    return NotFound(f"There is no response {response_id!r}.", param="response_id")


def _there(notes: Sequence[SkillNote]) -> list[SkillThere]:
    return [SkillThere(each.name, each.description, each.path) for each in notes]
