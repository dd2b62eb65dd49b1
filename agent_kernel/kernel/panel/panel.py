"""The comm target of the JupyterLab extension: answers requests, and tells every page when the state changes.

A request is answered while a cell runs: it reads and changes the kernel's own objects, and runs no cell.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.kernel.panel.held.answers import GivenAnswers
from agent_kernel.kernel.panel.messages import (
    TARGET,
    PanelRequest,
    WithBuffer,
    push,
    read_request,
    refusal,
    reply,
)
from agent_kernel.kernel.panel.messages import request_id as id_of
from agent_kernel.kernel.panel.state import state_of

if TYPE_CHECKING:
    from comm.base_comm import BaseComm, CommManager

    from agent_kernel.kernel.panel.source import PanelSource

MOST_PAGES = 32
"""The number of pages connected at the same time; a new one replaces the oldest, which may be gone."""

MOST_OPEN = 64
"""The number of requests of one page that are carried out at the same time."""

GATHER_SECONDS = 0.1
"""Seconds between two states that are pushed."""

UNEXPECTED = AgentKernelError("Internal error in the kernel. Details are in its log.")
LOST = AgentKernelError(
    "The answer was lost with the connection.", hint="Look whether it was done before you try again."
)


class Panel:
    """Serves the pages that are connected to this kernel. Use it from the event loop."""

    def __init__(self, source: PanelSource, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._source = source
        self._log = log
        self._pages: dict[str, BaseComm] = {}
        self._open: dict[str, dict[str, asyncio.Task[None]]] = {}
        self._given: dict[str, GivenAnswers] = {}
        self._timer: asyncio.TimerHandle | None = None
        source.preparation.watch = self.changed

    def register(self, manager: CommManager) -> None:
        """Offer the target to pages."""
        manager.register_target(TARGET, self._connected)

    def changed(self) -> None:
        """Push the state to every page soon."""
        if self._pages and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._push)

    def cell_begins(self) -> None:
        """End the requests that look into the Python session, and push the state."""
        self._source.cell_begins()
        self.changed()

    def close(self) -> None:
        """End all requests, and push nothing more."""
        self._source.preparation.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for page in list(self._pages):
            self._gone(page)

    def _push(self) -> None:
        self._timer = None
        message = push("state", state_of(self._source))
        for page in self._pages.values():
            page.send(message)

    # -- pages --------------------------------------------------------------------------------------------

    def _connected(self, page: BaseComm, _message: object) -> None:
        while len(self._pages) >= MOST_PAGES:
            oldest = self._pages[next(iter(self._pages))]
            self._gone(oldest.comm_id)
            oldest.close()
        self._pages[page.comm_id] = page
        self._open[page.comm_id] = {}
        self._given[page.comm_id] = GivenAnswers()
        page.on_msg(lambda message: self._received(page, message))
        page.on_close(lambda _message: self._gone(page.comm_id))
        page.send(push("state", state_of(self._source)))

    def _gone(self, page: str) -> None:
        self._pages.pop(page, None)
        self._source.gone(page)
        self._given.pop(page, None)
        for task in self._open.pop(page, {}).values():
            task.cancel()

    # -- requests -----------------------------------------------------------------------------------------

    def _received(self, page: BaseComm, message: dict[str, Any]) -> None:
        data, buffers = message["content"].get("data"), message.get("buffers") or []
        identifier, running = id_of(data), self._open.get(page.comm_id)
        if identifier is None or running is None:
            self._log.info("A message of the extension has no id, so it cannot be answered.")
            return
        if identifier in running:
            return  # it came again after a lost connection, and will be answered
        if identifier in self._given[page.comm_id]:
            self._send_again(page, identifier)
            return
        try:
            if len(running) >= MOST_OPEN:
                raise InvalidRequest(
                    f"This page has {MOST_OPEN} open requests.", hint="Try again in a moment."
                )
            request = read_request(data, buffers, page.comm_id)
        except InvalidRequest as error:
            page.send(refusal(identifier, error))
            return
        running[identifier] = task = asyncio.get_running_loop().create_task(self._answer(page, request))
        task.add_done_callback(lambda _task: running.pop(identifier, None))

    def _send_again(self, page: BaseComm, request: str) -> None:
        message, buffers = self._given[page.comm_id].get(request) or (refusal(request, LOST), [])
        page.send(dict(message), buffers=buffers)

    async def _answer(self, page: BaseComm, request: PanelRequest) -> None:
        from agent_kernel.kernel.panel.requests import READS, carry_out

        buffers: list[bytes] = []
        try:
            result = await carry_out(self._source, request)
            buffers = [result.buffer] if isinstance(result, WithBuffer) else []
            answer = reply(request.id, result)
        except AgentKernelError as error:
            answer = refusal(request.id, error)
        except Exception:  # noqa: BLE001  # told to the person, and logged
            self._log.exception("The request %s failed unexpectedly.", request.name)
            answer = refusal(request.id, UNEXPECTED)
        if request.name not in READS and page.comm_id in self._given:
            self._given[page.comm_id].add(request.id, answer, buffers)
        page.send(answer, buffers=buffers)
        if not buffers:  # what is read, or shown by a terminal, changes nothing
            self.changed()
