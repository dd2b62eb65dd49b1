"""The tenants of a runtime: what they share, and the components that each one has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.keys import Key
from agent_kernel.protocol.broken import ResumePoint
from agent_kernel.runtime.access.keys import StoredKeys
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.approvals.questions import OpenQuestions
from agent_kernel.runtime.background.background import Background
from agent_kernel.runtime.background.orphans import end_orphans
from agent_kernel.runtime.background.recovery import Recovery
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.containers.lifecycle import Lifecycle
from agent_kernel.runtime.containers.skills.equipment import Equipment
from agent_kernel.runtime.late_ends import LateEnds
from agent_kernel.runtime.observe.metrics import Metrics
from agent_kernel.runtime.parts import RuntimeParts
from agent_kernel.runtime.reach import Reach, Recovered, Steered
from agent_kernel.runtime.skills.skills import LocalSkills
from agent_kernel.runtime.turns.conversations import LocalConversations
from agent_kernel.runtime.turns.interrupt import Interrupt
from agent_kernel.runtime.turns.loop import TurnLoop
from agent_kernel.runtime.turns.preparation import Preparation, TurnParts
from agent_kernel.runtime.turns.turns import Turns
from agent_kernel.runtime.uploads.attachments import Attachments
from agent_kernel.runtime.uploads.retention import Retention
from agent_kernel.runtime.uploads.uploaded_files import LocalFiles
from agent_kernel.runtime.vector_stores.indexing import Indexer
from agent_kernel.runtime.vector_stores.uploads import LocalUploads
from agent_kernel.runtime.vector_stores.vector_stores import LocalVectorStores
from agent_kernel.store.coordination import LocalTurns
from agent_kernel.store.records import ResponseRow

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """The components that all tenants of a runtime share."""

    parts: RuntimeParts
    lifecycle: Lifecycle
    metrics: Metrics
    recovery: Recovery
    indexer: Indexer | None
    """None: this kind of store has no vector stores."""
    late: LateEnds


class Tenant:
    """The components of one tenant, the holder of a key. The key without a name is a tenant too.

    `rows` shows no other tenant's rows, so no component checks ownership itself.
    """

    def __init__(self, shared: Shared, key: Key) -> None:
        parts = shared.parts
        self.name = key.name
        self.quota = Quota(key.limits)
        self.rows = parts.store.rows.of(key.name)
        self.metrics = shared.metrics.of(key.name)
        self.containers = LocalContainers(shared.lifecycle, self.rows, self.quota)
        limit = parts.container_settings.upload_limit
        documents = parts.store.documents.of(key.name) if parts.store.documents is not None else None
        forget = documents.forget_file if documents is not None else None
        self.files = LocalFiles(self.rows, parts.store.blobs, limit, self.quota, forget)
        self.vector_stores: LocalVectorStores | None = None
        self.uploads: LocalUploads | None = None
        if documents is not None and shared.indexer is not None:
            self.vector_stores = LocalVectorStores(documents, self.files, shared.indexer, parts.embedder)
            self.uploads = LocalUploads(documents, parts.store.blobs, self.files, limit)
        self.skills = LocalSkills(self.rows, parts.store.blobs, self.quota)
        folders = parts.container_settings.skills
        self.equipment = Equipment(self.containers, self.rows, parts.skills.of(self.skills), folders)
        attachments = Attachments(self.files)
        self.conversations = LocalConversations(self.rows, attachments)
        self.preparation = Preparation(
            TurnParts(
                models=parts.models,
                store=self.rows,
                containers=self.containers,
                conversations=self.conversations,
                files=self.files,
                attachments=attachments,
                owner=parts.store.coordination.id,
                approval=parts.approval,
                equipment=self.equipment,
                documents=self.vector_stores,
                web=parts.turn_settings.tools.get("web_search"),
                late=shared.late,
            )
        )
        self.questions = OpenQuestions(key.name)
        loop = TurnLoop(
            self.containers,
            parts.turn_settings,
            self.metrics,
            parts.tracing,
            self.questions,
            self.vector_stores,
        )
        self.turns = Turns(self.preparation, loop, self.conversations, shared.recovery, self.quota)
        self.background = Background(self.rows, loop, parts.webhooks, key.name)
        self.connections: dict[str, Steered] = {}
        """Where turns can be steered, by their responses' ids."""
        self.reach = Reach(self.background, self.questions, self.connections)


class Tenants:
    """The tenants that a runtime has served, and the recovery and retention that they share."""

    def __init__(self, parts: RuntimeParts) -> None:
        store = parts.store
        self.parts = parts
        self.recovery = Recovery(
            store.rows, store.coordination, parts.restart, self._resume, self._end_orphans
        )
        self.keys = StoredKeys(store.rows)
        forget = store.documents.forget_file if store.documents is not None else None
        self._retention = Retention(store.rows, store.blobs, parts.retention, forget)
        settings = parts.container_settings
        options = replace(settings.network_options, rules=parts.approval)
        settings = replace(settings, network_options=options)
        lifecycle = Lifecycle(parts.backend, store.rows, settings, parts.audit, parts.prepare)
        indexer = None
        if store.documents is not None:
            limit = parts.max_document
            indexer = Indexer(store, store.documents, lifecycle.engine, parts.embedder, limit)
        self._indexer = indexer
        self._late = LateEnds(parts.webhooks.ended if parts.webhooks is not None else None)
        self._shared = Shared(parts, lifecycle, Metrics(), self.recovery, indexer, self._late)
        self._known: dict[str, Tenant] = {}
        self._taking_over: set[asyncio.Task[bool]] = set()
        self._closing = False

    def of(self, key: Key) -> Tenant:
        """Return the tenant of a key, with the limits that the key has now."""
        tenant = self._named(key.name, key)
        tenant.quota.limits = key.limits
        return tenant

    def _named(self, name: str, key: Key) -> Tenant:
        tenant = self._known.get(name)
        if tenant is None:
            tenant = self._known[name] = Tenant(self._shared, key)
        return tenant

    async def start(self) -> None:
        """Serve other processes, recover what dead ones left, and begin retention. Idempotent.

        Others can reach a turn from the moment at which this process has taken it over.
        """
        await self.parts.store.rows.identity()  # opens the store, with its own errors
        takes_over = self.parts.restart != "leave"
        await self.parts.store.coordination.serve(self._running, self._died if takes_over else None)
        await self.recovery.once()
        self._retention.start()
        if self._indexer is not None:
            self._indexer.wake()
        if self.parts.webhooks is not None:
            self.parts.webhooks.start(self.parts.store.rows)

    async def _died(self) -> None:
        """Recover the turns of another process that has just ended, and index its files."""
        if self._closing:
            return
        taking_over = asyncio.create_task(self.recovery.again())
        self._taking_over.add(taking_over)
        try:
            await asyncio.wait([taking_over])
        finally:
            self._taking_over.discard(taking_over)
        if taking_over.cancelled():  # this process ends too
            return
        taking_over.result()
        if self._indexer is not None:
            self._indexer.wake()

    def _running(self, response_id: str) -> LocalTurns | None:
        """Return where a turn runs in this process or will run in a moment, for any tenant."""
        if self.recovery.taken(response_id) is not None:
            return Recovered(self.recovery, self._running)
        return next((each.reach for each in self._known.values() if each.reach.has(response_id)), None)

    def background_turns(self) -> int:
        """Return how many background turns run in this process."""
        return sum(len(each.background) for each in self._known.values())

    async def _resume(self, row: ResponseRow, point: ResumePoint) -> None:
        name = await self.parts.store.rows.tenant_of_response(row.id)
        tenant = self._named(name, Key(name=name))  # with the limits it has, if it was served before
        interrupt = Interrupt()
        async with AsyncExitStack() as stack:
            stack.enter_context(tenant.turns.admitted())
            run = await stack.enter_async_context(tenant.turns.resumed(row, point, interrupt))
            await tenant.background.go_on(run, interrupt, stack.pop_all(), point.events)

    async def _end_orphans(self, row: ResponseRow, journal: Sequence[Mapping[str, Any]]) -> None:
        name = await self.parts.store.rows.tenant_of_response(row.id)
        if self.parts.webhooks is not None and row.request.get("background"):
            await self.parts.webhooks.expect(row.id, name)
        await end_orphans(row, journal, self._named(name, Key(name=name)).containers)

    async def _has_successor(self) -> bool:
        if self.parts.restart != "resume" or not self.background_turns():
            return False
        try:
            return await self.parts.store.coordination.has_successor()
        except AgentKernelError as error:
            log.warning("Whether another server goes on with the turns is not known: %s", error)
            return False

    async def aclose(self) -> None:
        """End background turns, or hand them over to another server, and release all parts. Idempotent.

        Containers live on until their lease ends.
        """
        self._closing = True
        for each in self._taking_over:
            each.cancel()
        await asyncio.gather(*self._taking_over, return_exceptions=True)
        await self._retention.aclose()
        if self._indexer is not None:
            await self._indexer.aclose()
        if await self._has_successor():
            detach = self._shared.lifecycle.detach
            await asyncio.gather(*(each.background.hand_over(detach) for each in self._known.values()))
        await asyncio.gather(*(each.background.aclose() for each in self._known.values()))
        await self._late.aclose()
        if self.parts.webhooks is not None:
            await self.parts.webhooks.aclose()
        await self._shared.lifecycle.aclose()
        await self.parts.models.aclose()
        if self.parts.embedder is not None:
            await self.parts.embedder.aclose()
        await self.parts.tracing.aclose()
        await self.parts.store.aclose()
