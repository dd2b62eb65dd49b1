"""Approval requests, decisions, and the interface for asking the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable


@dataclass(frozen=True)
class ApprovalRequest:
    """A call that waits for a decision.

    The `commands` run in order, all or none. `reason` explains why approval is needed. `kind` describes what
    "allow this kind" would allow from then on, in Markdown: "any `rm …` command". It is empty when the
    commands have no recognizable kind; then `remember` allows exactly these commands. `editable`: the user
    may change them.
    It is false for tools without commands: their calls are shown as one text.

    `about` "network" asks about a connection: the only "command" is its destination, as `host:port`, and
    `remember` allows it for the notebook's container. "rerun" asks whether a cell that is run again goes back
    first: the only "command" is the question in words, and `remember` stops the questions of this notebook.
    "elicitation" is a question of an MCP server: each "command" is a value, as `name: value`, or the only one
    is the address of a page that the user is to open. `picture` is a data URL that shows what a call would
    act on.
    """

    id: str
    commands: tuple[str, ...]
    reason: str
    kind: str = ""
    editable: bool = True
    about: Literal["call", "network", "rerun", "elicitation"] = "call"
    picture: str | None = None


@dataclass(frozen=True)
class Decision:
    """The user's decision.

    `commands` replaces the requested commands and needs `approve`; None runs them unchanged. The model sees
    `reason`. `remember` allows this kind without asking until the kernel ends.
    """

    approve: bool
    commands: tuple[str, ...] | None = None
    reason: str | None = None
    remember: bool = False


@runtime_checkable
class Asker(Protocol):
    """Asks the user for decisions."""

    async def ask(self, request: ApprovalRequest) -> Decision:
        """Ask and wait for the decision, without a time limit. Only one question is open at a time.

        Cancelling withdraws the question; nothing is decided.
        """
        ...
