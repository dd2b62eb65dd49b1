"""Calls that a dead process has left running in a sandbox, and whose turn is not resumed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from openai.types.responses import Response

from agent_kernel.errors import AgentKernelError
from agent_kernel.protocol.broken import standing
from agent_kernel.protocol.calls import json_key
from agent_kernel.protocol.restored import RestoredAssembler
from agent_kernel.runtime.containers.containers import LocalContainers
from agent_kernel.store.records import ResponseRow
from agent_kernel.tools.base import Tool
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.context import LostCall

log = logging.getLogger(__name__)


async def end_orphans(
    row: ResponseRow, journal: Sequence[Mapping[str, Any]], containers: LocalContainers
) -> None:
    """End in the sandbox what still runs of a dead process's turn: it would keep the shell busy.

    A sandbox that has ended is left alone, and nothing is brought back. Errors are logged.
    """
    lost = _lost(row, journal) if row.container_id is not None else {}
    if not lost or row.container_id is None:
        return
    specs = {each.get("type"): each for each in row.request.get("tools") or () if isinstance(each, Mapping)}
    attachment = containers.attachment(row.container_id)
    attachment.begin()
    try:
        channel = await containers.channel(row.container_id, restore=False)
        for tool, calls in lost.items():
            await tool.abandon(calls, specs.get(tool.type, {}), channel)
    except AgentKernelError as error:  # without its sandbox nothing runs
        log.info("The calls of %s could not be ended: %s", row.id, error)
    finally:
        attachment.end()


def _lost(row: ResponseRow, journal: Sequence[Mapping[str, Any]]) -> dict[Tool, list[LostCall]]:
    point = standing(journal, catalogue())
    if point is None or not point.calls:
        return {}
    assembler = RestoredAssembler(Response.construct(**{**row.response, "output": []}), point)
    found: dict[Tool, list[LostCall]] = {}
    for broken in point.calls:
        tool = catalogue().of_call(broken.call["type"])
        if tool is not None:
            draft = assembler.reopened(json_key(broken.call))
            call = LostCall(broken.call, f"{row.id}/{broken.call.get('id')}", draft)
            found.setdefault(tool, []).append(call)
    return found
