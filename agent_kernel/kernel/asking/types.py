"""A question whether commands may run, its answer, and the interface of what asks a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class ApprovalRequest:
    """One call that waits for a decision.

    The `commands` run in order, all or none. `reason` explains why approval is needed. `kind` describes what
    "allow this kind" would allow from then on, such as `rm *`. It is empty when the commands have no
    recognizable kind; then `remember` allows exactly these commands. `editable`: the person may change them;
    the calls of tools without commands are shown as one text instead.
    """

    id: str
    commands: tuple[str, ...]
    reason: str
    kind: str = ""
    editable: bool = True


@dataclass(frozen=True)
class Decision:
    """What the person decided.

    `commands` replace the ones asked about (None: run them unchanged) and need `approve`. The model is shown
    `reason`. `remember` allows this kind without asking until the kernel ends.
    """

    approve: bool
    commands: tuple[str, ...] | None = None
    reason: str | None = None
    remember: bool = False


@runtime_checkable
class Asker(Protocol):
    """Asks a person."""

    async def ask(self, request: ApprovalRequest) -> Decision:
        """Wait for the decision, without a time limit. Only one question is open at a time.

        Cancelling withdraws the question; nothing is decided.
        """
        ...
