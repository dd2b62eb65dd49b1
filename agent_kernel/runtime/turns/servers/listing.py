"""Lists the tools of a turn's MCP servers before its model is asked.

A server is listed once per conversation: while its `mcp_list_tools` item is there, the model gets the tools
that it names. Servers are listed at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from agent_kernel.errors import ToolServerFailed
from agent_kernel.runtime.approvals.elicitations import elicit
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.runtime.turns.history import Json
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.runtime.turns.turn import Turn
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.mcp.connection import McpFailure
from agent_kernel.tools.mcp.drafts import ListDraft
from agent_kernel.tools.mcp.elicitation import DECLINED, ServerAnswer, ServerQuestion
from agent_kernel.tools.mcp.listing import flat_mcp_choice, function_entries, known_list, listed_items
from agent_kernel.tools.mcp.servers import McpLimits, TurnServers
from agent_kernel.tools.mcp.spec import McpServer


@dataclass(frozen=True)
class _Asked:
    entry: ToolEntry
    server: McpServer
    draft: ListDraft


class ToolListing:
    """Lists the tools of servers, and offers them as functions."""

    def __init__(self, settings: TurnSettings, containers: LocalContainers) -> None:
        given = settings.tools.get("mcp")
        self._limits = given if isinstance(given, McpLimits) else McpLimits()
        self._containers = containers

    @asynccontextmanager
    async def servers(self, run: Turn) -> AsyncGenerator[TurnServers | None, None]:
        """Hold the turn's connections. Raises `InvalidRequest` for a server that is not allowed."""
        entries = _servers_of(run)
        if not entries:
            yield None
            return
        sandbox = None
        if run.container_id is not None:
            sandbox = partial(self._containers.use, run.container_id, to_run=True)
        servers = TurnServers(self._limits, sandbox, partial(_ask, run), partial(self._metered, run))
        for entry in entries:
            servers.check(entry.private)
        try:
            yield servers
        finally:
            await servers.close()

    @asynccontextmanager
    async def _metered(self, run: Turn) -> AsyncGenerator[None, None]:
        """Meter the turn's container, which stays in use meanwhile."""
        assert run.container_id is not None  # noqa: S101 (an entry of a server in it asks for it)
        async with (
            self._containers.use(run.container_id, to_run=True),
            self._containers.metering.running(run.container_id, run.id),
        ):
            yield

    async def list(self, run: Turn) -> None:
        """Offer the tools of the turn's servers to its model, and list those that are not known.

        Raises `ToolServerFailed` for a server that cannot be listed.
        """
        entries = _servers_of(run)
        if not entries or run.servers is None or not run.turn.generate:
            return
        known = {entry.index: known_list(entry.private, run.conversation) for entry in entries}
        failed = await self._listed(run, [each for each in entries if known[each.index] is None], known)
        for label, why in failed:
            raise ToolServerFailed(f"Error retrieving tool list from MCP server: '{label}'. {why}")
        _offer(run, entries, known)

    async def again(self, run: Turn) -> None:
        """List those servers again that say that their tools have changed. A failure keeps the old list.

        Some servers say so whenever someone connects. A list that is the same as before gets no item.
        """
        entries, servers = _servers_of(run), run.servers
        told = [each for each in entries if servers is not None and servers.changed(each.private)]
        if not told:
            return
        known = {entry.index: known_list(entry.private, run.conversation) for entry in entries}
        with run.interrupt.stoppable():
            found = await asyncio.gather(*(_fetched(run, each.private) for each in told))
        for entry, (tools, why) in zip(told, found, strict=True):
            if why is None and tools != (known[entry.index] or {}).get("tools"):
                known[entry.index] = {"tools": tools}
                await self._finish(run, await self._begin(run, entry), tools, why)
        _offer(run, entries, known)

    async def _listed(
        self, run: Turn, entries: Sequence[ToolEntry], known: dict[int, Json | None]
    ) -> Sequence[tuple[str, str]]:
        """List servers at the same time, into `known`. Return the labels of those that failed, and why."""
        if not entries:
            return ()
        asked = [await self._begin(run, entry) for entry in entries]
        with run.interrupt.stoppable():
            found = await asyncio.gather(*(self._list(run, each, known) for each in asked))
        return [each for each in found if each is not None]

    async def _begin(self, run: Turn, entry: ToolEntry) -> _Asked:
        label = entry.private.label
        draft, events = run.assembler.open_item(partial(ListDraft, label=label))
        await run.emit(events)
        return _Asked(entry, entry.private, draft)

    async def _list(self, run: Turn, asked: _Asked, known: dict[int, Json | None]) -> tuple[str, str] | None:
        """Finish one list. Return the server's label and why it failed, or None."""
        tools, why = await _fetched(run, asked.server)
        if why is None:
            known[asked.entry.index] = {"tools": tools}
        await self._finish(run, asked, tools, why)
        return (asked.server.label, why) if why is not None else None

    async def _finish(self, run: Turn, asked: _Asked, tools: Sequence[Json], why: str | None) -> None:
        asked.draft.tools, asked.draft.error = tools, why
        self._containers.audit.write(
            "mcp.list",
            response=run.id,
            server=asked.server.label,
            place=asked.server.place,
            tools=len(asked.draft.tools),
            error=why,
        )
        await run.emit(run.assembler.close_item(asked.draft))


async def _ask(run: Turn, question: ServerQuestion) -> ServerAnswer:
    """Ask the user what a server asks; decline if the client does not answer questions."""
    return DECLINED if run.questions is None else await elicit(run.questions, question)


async def _fetched(run: Turn, server: McpServer) -> tuple[Sequence[Json], str | None]:
    """Ask a server for its tools. Return them, or none and why it failed."""
    assert run.servers is not None  # noqa: S101 (the callers looked)
    try:
        return listed_items(server, await run.servers.tools(server)), None
    except McpFailure as error:
        return (), error.message


def _servers_of(run: Turn) -> list[ToolEntry]:
    return [entry for entry in run.turn.tools if entry.lists]


def _offer(run: Turn, entries: Sequence[ToolEntry], known: dict[int, Json | None]) -> None:
    """Replace the functions of servers among the turn's tools by those in the lists."""
    others = [each for each in run.turn.tools if each.lists or not each.tool.lists]
    taken = {str(each.spec.get("name")) for each in others if each.tool.repeated and not each.lists}
    functions = [
        function
        for entry in entries
        for function in function_entries(entry.tool, entry, entry.private, known[entry.index] or {}, taken)
    ]
    tools = [*others, *functions]
    settings = dict(run.turn.settings)
    if "tool_choice" in settings:
        settings["tool_choice"] = flat_mcp_choice(settings["tool_choice"], tools)
    run.turn = replace(run.turn, tools=tools, settings=settings)
