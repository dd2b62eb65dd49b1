"""The runtime in this process: a turn loop over a store, a model and a sandbox.

    request ─► preparation ─► run ─► loop: model ─► shell ─► model ─► ... ─► stored response

This module only puts the parts together; each is a module of its own.
"""

from __future__ import annotations

import asyncio
import copy
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
from agent_kernel.models.catalogue import Models
from agent_kernel.policy.rules import Policy
from agent_kernel.protocol import ids
from agent_kernel.protocol.broken import ResumePoint
from agent_kernel.protocol.usage import total_usage
from agent_kernel.runtime.access.keys import StoredKeys
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.background.background import Background
from agent_kernel.runtime.background.recovery import Recovery, Restart, journal_of
from agent_kernel.runtime.base import Order, Page, ResponseRequest
from agent_kernel.runtime.containers.containers import BackendSource, ContainerOptions, LocalContainers
from agent_kernel.runtime.containers.skills import Skills
from agent_kernel.runtime.observe.audit import OFF, AuditLog
from agent_kernel.runtime.observe.metrics import Metrics
from agent_kernel.runtime.observe.tracing import UNWATCHED, Tracing
from agent_kernel.runtime.paging import page
from agent_kernel.runtime.turns.compaction import compacted, estimate, for_model
from agent_kernel.runtime.turns.conversations import LocalConversations
from agent_kernel.runtime.turns.history import join
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.loop import CANCELLED, MAX_STEPS, TurnLoop
from agent_kernel.runtime.turns.preparation import Preparation, TurnParts
from agent_kernel.runtime.turns.request import read_request
from agent_kernel.runtime.turns.session import LocalSession
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.runtime.turns.shown import Shown, shown
from agent_kernel.runtime.turns.turns import Turns
from agent_kernel.runtime.uploads.retention import Retention
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.store.base import Store
from agent_kernel.store.records import ResponseRow

__all__ = ["CANCELLED", "MAX_STEPS", "LocalRuntime", "TurnSettings"]


class LocalRuntime:
    """A Responses API in this process. `backend` may be a callable that finds one on first use.

    It owns `models`, `store` and the backend: `aclose` closes them. It shows what belongs to whoever has no
    key of a name; `for_key` gives the holders of keys theirs. `retention`: seconds after which stored
    responses are deleted once `start` was called; None: never. `restart`: see `recovery.Restart`.
    """

    def __init__(
        self,
        *,
        models: Models,
        backend: BackendSource,
        store: Store,
        container_settings: ContainerOptions | None = None,
        turn_settings: TurnSettings | None = None,
        audit: AuditLog = OFF,
        approval: Policy | None = None,
        skills: Skills | None = None,
        tracing: Tracing = UNWATCHED,
        retention: float | None = None,
        restart: Restart = "end",
    ) -> None:
        self._models = models
        self._shared_store = store
        self._whole_store = store.rows
        self._coordination = store.coordination
        self._all_containers = LocalContainers(backend, store.rows, container_settings, audit)
        self._all_metrics = Metrics()
        self._turn_settings = turn_settings or TurnSettings()
        self._approval = approval or Policy()
        self._skills = skills or Skills()
        self._tracing = tracing
        self._recovery = Recovery(store.rows, store.coordination, restart, self._resume)
        self._retention = Retention(store.rows, store.blobs, retention)
        self._keys = StoredKeys(store.rows)
        self._tenants: dict[str, LocalRuntime] = {}
        self._move_in(Key())

    def _move_in(self, key: Key) -> None:
        """Make what each tenant has of its own. Its store shows it nothing else, so no part has to ask."""
        self._tenants[key.name] = self
        self._key = key
        self._store = self._whole_store.of(key.name)
        self._allowance = Quota(key.limits)
        self._metrics = self._all_metrics.of(key.name)
        self._containers = self._all_containers.of(key.name, self._allowance)
        self._conversations = LocalConversations(self._store)
        blobs, limit = self._shared_store.blobs, self._containers.settings.upload_limit
        self._files = LocalFiles(self._store, blobs, limit, self._allowance)
        self._preparation = Preparation(
            TurnParts(
                models=self._models,
                store=self._store,
                containers=self._containers,
                conversations=self._conversations,
                files=self._files,
                owner=self._coordination.id,
                approval=self._approval,
                skills=self._skills,
            )
        )
        loop = TurnLoop(self._containers, self._turn_settings, self._metrics, self._tracing)
        self._turns = Turns(self._preparation, loop, self._conversations, self._recovery, self._allowance)
        self._background = Background(self._store, loop)

    def for_key(self, key: Key) -> LocalRuntime:
        """See `ServedRuntime`."""
        view = self._tenants.get(key.name)
        if view is None:
            view = copy.copy(self)  # models, engine, limits of turns ... are everybody's
            view._move_in(key)
        view._allowance.limits = key.limits
        return view

    @property
    def keys(self) -> StoredKeys:
        """See `ServedRuntime`."""
        return self._keys

    @property
    def containers(self) -> LocalContainers:
        """The sandboxes that commands run in."""
        return self._containers

    @property
    def conversations(self) -> LocalConversations:
        """The conversations."""
        return self._conversations

    @property
    def files(self) -> LocalFiles:
        """The uploaded files."""
        return self._files

    async def start(self) -> None:
        """See `ServedRuntime`."""
        await self._recovery.once()
        self._retention.start()
        await self._coordination.serve(self._running)

    def session(self) -> LocalSession:
        """See `Runtime`."""
        return LocalSession(self._turns)

    async def respond(self, request: ResponseRequest) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Run one turn and stream it; see `Runtime.respond`.

        With `background` the turn goes on when the generator is closed; `cancel` ends it.
        """
        if request.get("background") is True:
            response_id = await self._begin(request)
            async with aclosing(self._background.follow(response_id, -1)) as events:
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

    def _running(self, response_id: str) -> Background | None:
        """Where a background turn runs in this process, whoever's it is."""
        views = [view._background for view in self._tenants.values()]
        return next((each for each in views if each.written(response_id) is not None), None)

    async def _resume(self, row: ResponseRow, standing: ResumePoint) -> None:
        tenant = await self._whole_store.tenant_of_response(row.id)
        view = self._tenants.get(tenant) or self.for_key(Key(name=tenant))
        interrupt = Interrupt()
        async with AsyncExitStack() as stack:
            stack.enter_context(view._turns.admitted())
            run = await stack.enter_async_context(view._turns.resumed(row, standing, interrupt))
            await view._background.go_on(run, interrupt, stack.pop_all(), standing.events)

    async def follow(self, response_id: str, after: int = -1) -> AsyncGenerator[ResponseStreamEvent, None]:
        """See `ServedRuntime`."""
        row = await self._row(response_id)
        _check_background(row, "streamed again")
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

    async def retrieve(self, response_id: str) -> Response:
        """A stored response, as far as it is. Raises `NotFound`."""
        snapshot = self._background.snapshot(response_id)  # of this tenant's turns, as all that is here
        if snapshot is not None:
            return snapshot
        row = await self._row(response_id)
        if row.owner is None:
            return Response.construct(**row.response)
        events = [json.loads(text) for _, text in await journal_of(self._store, response_id)]
        output = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        return Response.construct(**{**row.response, "output": output})

    async def delete(self, response_id: str) -> None:
        """Delete a stored response. Raises `NotFound`. Turns after it cannot be continued any more."""
        await self._cancel(await self._row(response_id))
        if not await self._store.delete_response(response_id):
            raise _no_response(response_id)

    async def input_items(
        self, response_id: str, *, after: str | None = None, limit: int = 20, order: Order = "desc"
    ) -> Page[Shown]:
        """See `ServedRuntime`."""
        row = await self._row(response_id)
        return page([shown(item) for item in row.input], after=after, limit=limit, order=order)

    async def count_tokens(self, request: ResponseRequest) -> int:
        """See `ServedRuntime`; docs/api.md says how it is estimated."""
        turn = read_request({"input": [], **_without_nulls(request)})
        history = await self._preparation.history(turn)
        items = join(history, await self._preparation.resolved(turn.input, history))
        beside: list[Mapping[str, Any]] = [{"tools": list(turn.tools)}] if turn.tools else []
        if turn.instructions:
            beside.append({"text": turn.instructions})
        return estimate([*for_model(items), *beside])

    async def compact(self, request: ResponseRequest) -> CompactedResponse:
        """See `ServedRuntime`."""
        if "model" not in request:
            raise InvalidRequest("model is missing.", param="model")
        turn = read_request({"input": [], **_without_nulls(request)})
        model, upstream_name = self._preparation.model(turn)
        history = await self._preparation.history(turn)
        items = join(history, await self._preparation.resolved(turn.input, history))
        if not items:
            raise InvalidRequest("There is nothing to compact.", param="input")
        with self._turns.admitted():
            item, usage = await compacted(model, upstream_name, items)
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
        return await self._containers.retrieve(await self._preparation.container(params))

    async def copy_file(self, container_id: str, file_id: str) -> FileCreateResponse:
        """See `ServedRuntime`."""
        return await self._files.copy(file_id, container_id, self._containers.files)

    async def models(self) -> Sequence[str]:
        """Names of models that can be asked for."""
        return self._models.names()

    async def measures(self) -> str:
        """See `ServedRuntime`."""
        everybody = not self._key.name
        rows = await (self._whole_store if everybody else self._store).containers()
        seen = self._tenants.values() if everybody else (self,)
        gauges = {
            "containers": sum(row.status == "running" for row in rows),
            "background_turns": sum(len(each._background) for each in seen),
        }
        return self._metrics.render(gauges)

    async def aclose(self) -> None:
        """Release everything held, for all keys; containers live on until their lease ends. Idempotent."""
        await self._retention.aclose()
        await asyncio.gather(*(each._background.aclose() for each in self._tenants.values()))
        await self._containers.aclose()
        await self._models.aclose()
        await self._tracing.aclose()
        await self._shared_store.aclose()

    async def _row(self, response_id: str) -> ResponseRow:
        await self._recovery.once()
        row = await self._store.response(response_id)
        if row is None:
            raise _no_response(response_id)
        if row.owner is not None and await self._recovery.again():
            return await self._row(response_id)
        return row


async def _once() -> AsyncGenerator[None, None]:
    yield


def _without_nulls(request: ResponseRequest) -> dict[str, Any]:
    return {name: value for name, value in request.items() if value is not None}


def _check_background(row: ResponseRow, what: str) -> None:
    if not row.request.get("background"):
        raise InvalidRequest(
            f"Only a response made with background true can be {what}.",
            hint="To end any other, close its connection.",
            param="response_id",
        )


def _no_response(response_id: str) -> NotFound:
    return NotFound(f"There is no response {response_id!r}.", param="response_id")
