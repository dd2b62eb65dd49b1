"""Questions in a console: approvals asked by `input_request`, without blocking the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agent_kernel.kernel.asking.types import ApprovalRequest, Decision
from agent_kernel.kernel.render.text import clean

AskLine = Callable[[str], Awaitable[str]]
"""Show a prompt and wait for one line; raises `EOFError` if the user closes the input."""

END_OF_INPUT = "\x04"
CLOSED = "The question was closed without an answer."


class LineAsker:
    """An `Asker` that asks in lines of text."""

    def __init__(self, ask_line: AskLine) -> None:
        self._ask_line = ask_line

    async def ask(self, request: ApprovalRequest) -> Decision:
        """Ask until the answer is one of the choices. Closing the input denies."""
        if request.about == "network":
            return await self._connection(request)
        if request.about == "rerun":
            return await self._going_back(request)
        if request.about == "elicitation":
            return await self._values(request)
        kind = clean(request.kind) or ("exactly these" if len(request.commands) > 1 else "exactly this")
        edit = "[e]dit, " * request.editable
        choices = f"[y]es, [n]o, {edit}[a]lways: {kind}, until the kernel stops"
        return await self._choice(request, f"{_shown(request)}\nMay this run?", choices)

    async def _connection(self, request: ApprovalRequest) -> Decision:
        (destination,) = request.commands
        question = f"{clean(request.reason)}\nMay it connect to {clean(destination)}?"
        return await self._choice(request, question, "[y]es, once, [n]o, [a]lways in this notebook")

    async def _going_back(self, request: ApprovalRequest) -> Decision:
        (words,) = request.commands
        question = f"{clean(request.reason)}\n{clean(words)}"
        return await self._choice(request, question, "[y]es, [n]o, continue, [a]lways in this notebook")

    async def _values(self, request: ApprovalRequest) -> Decision:
        question = "\n".join(map(clean, [request.reason, *request.commands]))
        words = "Will you answer?" if request.editable else "Have you opened the page and agreed there?"
        agreed = await self._choice(request, f"{question}\n{words}", "[y]es, [n]o")
        if not agreed.approve or not request.editable:
            return agreed
        try:
            return Decision(True, tuple([await self._value(each) for each in request.commands]))
        except EOFError:
            return Decision(False, reason=CLOSED)

    async def _value(self, line: str) -> str:
        name, _, default = line.partition(": ")
        shown = f" (empty: {clean(default)})" if default else ""
        given = (await self._ask_line(f"{clean(name)}{shown}: ")).strip()
        return f"{name}: {given or default}"

    async def _choice(self, request: ApprovalRequest, question: str, choices: str) -> Decision:
        try:
            while True:
                match (await self._ask_line(f"{question} {choices}: ")).strip().casefold():
                    case "y" | "yes":
                        return Decision(True)
                    case "n" | "no" if request.about in ("rerun", "elicitation"):
                        return Decision(False)
                    case "n" | "no":
                        return await self._denied()
                    case "e" | "edit" if request.editable and request.about == "call":
                        return await self._edited(request)
                    case "a" | "always" if request.about != "elicitation":
                        return Decision(True, remember=True)
                question = "Please answer with one of these letters."
        except EOFError:
            return Decision(False, reason=CLOSED)

    async def _denied(self) -> Decision:
        reason = (await self._ask_line("Why not? The model sees your reason (may be empty): ")).strip()
        return Decision(False, reason=reason or None)

    async def _edited(self, request: ApprovalRequest) -> Decision:
        commands = []
        for command in request.commands:
            line = await self._ask_line(f"In place of: {clean(command)}\n(empty keeps it): ")
            commands.append(line if line.strip() else command)
        changed = tuple(commands)
        return Decision(True, changed if changed != request.commands else None)


def _shown(request: ApprovalRequest) -> str:
    lines = [f"{'$ ' * request.editable}{clean(command)}" for command in request.commands]
    return "\n".join([*lines, clean(request.reason)])


class StdinChannel:
    """The kernel's stdin channel, used from its event loop. One question at a time."""

    def __init__(self, socket: Any, session: Any) -> None:
        self._socket = socket
        self._session = session

    def line_of(self, ident: Any, parent: dict[str, Any]) -> AskLine:
        """Ask the client that sent the request `parent`."""

        async def ask_line(prompt: str) -> str:
            return await self._ask(prompt, ident, parent)

        return ask_line

    async def _ask(self, prompt: str, ident: Any, parent: dict[str, Any]) -> str:
        """Ask one line. Cancelling leaves the question on the screen; a late answer to it is ignored."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        descriptor = self._socket.FD  # ZeroMQ's descriptor is readable when a message may have arrived
        loop.add_reader(descriptor, arrived.set)
        try:
            content = {"prompt": prompt, "password": False}
            while self._received() is not None:  # drop answers typed to an earlier question
                pass
            asked = self._session.send(self._socket, "input_request", content, parent, ident=ident)
            while True:
                arrived.clear()
                reply = self._received()
                if reply is None:
                    await arrived.wait()
                elif reply["parent_header"].get("msg_id") in (None, asked["header"]["msg_id"]):
                    value = str(reply["content"].get("value", ""))
                    if value == END_OF_INPUT:
                        raise EOFError
                    return value
        finally:
            loop.remove_reader(descriptor)

    def _received(self) -> dict[str, Any] | None:
        """Return the next message received, or None."""
        while True:
            try:
                _, message = self._session.recv(self._socket)  # does not block
            except ValueError:  # not signed, or not a Jupyter message
                continue
            if message is None or message.get("msg_type") == "input_reply":
                return message  # type: ignore[no-any-return]
