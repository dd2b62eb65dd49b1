"""Approvals in a notebook: asks the user whether a call may run, and answers the runtime.

The runtime stops a turn at a call that needs a decision. The kernel asks with an `Asker`: the live widget in
a browser, a question in a console. If no one can be asked, the call is denied.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import ConfigurationError
from agent_kernel.kernel.asking.network import UNREADABLE, RunningQuestions
from agent_kernel.kernel.asking.told import ToldByDecision, as_json, asks_about_call
from agent_kernel.kernel.asking.types import ApprovalRequest, Asker, Decision
from agent_kernel.policy.commands import covers, kinds, plain_commands
from agent_kernel.policy.rules import Policy

if TYPE_CHECKING:
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.base import SessionEvent

    Respond = Callable[[Mapping[str, Any]], AsyncGenerator[SessionEvent, None]]

MOST_UNATTENDED = 25
"""The number of requests denied in one cell, when no one can be asked, before the turn ends."""

NOBODY = "No one could be asked for approval."

TOO_OFTEN = f"The model asked {MOST_UNATTENDED} times and no one could answer, so the turn ends here."

NO_ONE_HINT = (
    "**No one can be asked here**, so commands that need approval are denied. To let them run, allow them "
    "with a rule (`AGENT_KERNEL_APPROVAL_RULES`), allow all commands (`AGENT_KERNEL_APPROVAL=auto`), or "
    "remove this notebook's `%approve`. In JupyterLab and in a console you are asked."
)


class NotebookApprovals:
    """The decisions of one notebook so far, and the `asker` of the running cell.

    The kernel sets `asker` at the beginning of each cell: the live view if it is an `Asker`, a console
    question if the front end takes input, else None. `policy` is the notebook's own policy, sent with each
    request: it can make the runtime's policy stricter, never looser. Only a user who was asked can allow a
    kind for the rest of the notebook; no text in a notebook can.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.asker: Asker | None = None
        self.configured = policy or Policy()
        self.said: Policy | None = None
        self.allowed: list[str] = []
        """Patterns of the kinds that the user has allowed."""
        self._commands: set[tuple[str, ...]] = set()
        self._screen: Mapping[str, Any] = {}

    def policy(self, of_notebook: Policy | None = None) -> Policy:
        """Return the policy in force: from `%approve`, else the notebook's metadata, else the settings."""
        return self.said or of_notebook or self.configured

    def forget(self) -> None:
        """Clear the policy set by `%approve` and the kinds that the user allowed."""
        self.said = None
        self.allowed.clear()
        self._commands.clear()

    async def through(
        self,
        respond: Respond,
        request: Mapping[str, Any],
        outputs: CellOutputs,
        runtime: object = None,
    ) -> AsyncGenerator[SessionEvent, None]:
        """Yield the events of a turn, and of the turns that continue it after each decision.

        Questions, and the outputs of denied calls, are left out: one line in `outputs` tells the decision.
        `runtime` gets the answers to questions that come while the turn runs.

        Cancelling while a question is open withdraws the question; its call has not run, and the chain can be
        continued. Raises `ConfigurationError` if the runtime ignores the notebook's policy.
        """
        from agent_kernel.kernel.render.bundles import notice

        unattended, told = 0, ToldByDecision()
        following: Mapping[str, Any] | None = request
        while following is not None:
            last: Any = None
            async with aclosing(self.watched(respond(following), runtime)) as events:
                async for event in events:
                    if event.type == "response.created":
                        _check_understood(request, event.response)
                    last = event.response if event.type == "response.completed" else last
                    self._see(event)
                    if not told.hides(event):
                        yield event
            asked = _requests(last)
            if not asked:
                return
            if unattended == MOST_UNATTENDED:
                outputs.emit(notice(TOO_OFTEN))
                return
            answers = []
            for each in asked:
                picture = self._show_target(each, outputs)
                answers.append(await self._answer(each, outputs, picture))
            told.add(asked, answers)
            if self.asker is None and not all(answer["approve"] for answer in answers):
                unattended += 1
                if unattended == 1:
                    outputs.emit(notice(NO_ONE_HINT))
            following = {**request, "previous_response_id": last.id, "input": answers}

    def _see(self, event: Any) -> None:
        """Remember the newest screenshot."""
        if event.type == "response.output_item.done" and event.item.type == "computer_call_output":
            self._screen = as_json(event.item)

    def _show_target(self, item: Mapping[str, Any], outputs: CellOutputs) -> str | None:
        """Show where on the screen a call would act that is asked about. Return that as a data URL."""
        if item.get("name") != "computer":
            return None
        from agent_kernel.kernel.render.approval import arguments_of
        from agent_kernel.kernel.render.desktop.call import asked_about
        from agent_kernel.kernel.render.desktop.screen import PREFIX

        if (bundle := asked_about(self._screen, arguments_of(item))) is None:
            return None
        outputs.emit(bundle)
        return f"{PREFIX}{bundle.data['image/png']}"

    def watched(
        self, events: AsyncGenerator[SessionEvent, None], runtime: object
    ) -> AsyncGenerator[SessionEvent, None]:
        """Return the events of a turn; its questions are asked meanwhile."""
        from agent_kernel.runtime.network.base import AnswersQuestions

        if self.asker is None or not isinstance(runtime, AnswersQuestions):
            return events
        return RunningQuestions(self.asker, runtime).watch(events)

    async def _answer(
        self, item: Mapping[str, Any], outputs: CellOutputs, picture: str | None = None
    ) -> dict[str, Any]:
        from agent_kernel.kernel.asking.record import decision_note

        request = _read(item)
        request = None if request is None else replace(request, picture=picture)
        remembered = request is not None and not _is_for_outside(item) and self._is_allowed(request)
        if request is None:
            decision = Decision(False, reason=UNREADABLE)
        elif remembered:
            decision = Decision(True)
        elif self.asker is None:
            decision = Decision(False, reason=NOBODY)
        else:
            decision = await self.asker.ask(request)
            if decision.approve and decision.remember:
                self._remember(request)
        by_person = request is not None and self.asker is not None
        outputs.emit(decision_note(request, decision, remembered=remembered, by_person=by_person))
        return _response(str(item.get("id")), decision)

    def _is_allowed(self, request: ApprovalRequest) -> bool:
        if request.commands in self._commands:
            return True
        if not request.editable:
            return False
        parts = [plain_commands(command) for command in request.commands]
        return all(
            part is not None
            and all(any(covers(pattern, words) for pattern in self.allowed) for words in part)
            for part in parts
        )

    def _remember(self, request: ApprovalRequest) -> None:
        patterns = kinds(request.commands) if request.editable else []
        self.allowed += [each for each in patterns if each not in self.allowed]
        if not patterns:
            self._commands.add(request.commands)


def _check_understood(request: Mapping[str, Any], response: Any) -> None:
    """Raise `ConfigurationError` if the runtime ignored the policy, and so would never ask.

    Nothing has run at this point, and closing the stream ends the turn.
    """
    asked = (request.get("agent_kernel") or {}).get("approval")
    echoed = getattr(response, "agent_kernel", None)
    if asked is not None and (not isinstance(echoed, Mapping) or echoed.get("approval") != asked):
        raise ConfigurationError(
            "This runtime does not support approvals: it would run commands without asking.",
            hint="Use `agent-kernel serve` as the runtime, or remove the policy: %approve auto.",
        )


def _requests(response: Any) -> list[Mapping[str, Any]]:
    """Return the runtime's own requests about calls in a response; the kernel answers no others."""
    items = map(as_json, response.output if response is not None else ())
    return [item for item in items if asks_about_call(item)]


def _read(item: Mapping[str, Any]) -> ApprovalRequest | None:
    from agent_kernel.kernel.render.approval import arguments_of, kind_in_words

    if item.get("server_label") != "agent_kernel":
        return _about_server_call(item)
    arguments = arguments_of(item)
    if item.get("name") != "shell":
        return _about_call(item, arguments)
    commands = arguments.get("commands")
    if not isinstance(commands, list) or not commands or not all(isinstance(each, str) for each in commands):
        return None
    kind = kind_in_words(kinds(commands))
    return ApprovalRequest(str(item["id"]), tuple(commands), str(arguments.get("reason") or ""), kind)


def _is_for_outside(item: Mapping[str, Any]) -> bool:
    """Return whether text from outside may be behind the call: what was allowed before is not for that."""
    ours = item.get("agent_kernel")
    return isinstance(ours, Mapping) and ours.get("outside") is True


def _about_call(item: Mapping[str, Any], arguments: Mapping[str, Any]) -> ApprovalRequest:
    """Return the question about a call of a tool without commands: its name and arguments as one text."""
    given = {name: value for name, value in arguments.items() if name != "reason"}
    text = f"{item.get('name')} {json.dumps(given, ensure_ascii=False, sort_keys=True)}"
    return ApprovalRequest(str(item["id"]), (text,), str(arguments.get("reason") or ""), editable=False)


def _about_server_call(item: Mapping[str, Any]) -> ApprovalRequest:
    """Return the question about a call of an MCP server's tool."""
    text = f"{item.get('server_label')}: {item.get('name')} {item.get('arguments')}"
    reason = "It calls a tool of an MCP server."
    return ApprovalRequest(str(item["id"]), (text,), reason, editable=False)


def _response(request_id: str, decision: Decision) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "type": "mcp_approval_response",
        "approval_request_id": request_id,
        "approve": decision.approve,
    }
    if decision.reason:
        answer["reason"] = decision.reason
    if decision.approve and decision.commands is not None:
        answer["agent_kernel"] = {"commands": list(decision.commands)}
    return answer
