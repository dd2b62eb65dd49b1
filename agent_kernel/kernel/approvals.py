"""Approvals in a notebook: who is asked whether a command may run, and what is done with the answer.

The runtime stops a turn at a command that needs a decision. The kernel asks whoever sits at the notebook, by
an `Asker`: the live widget in a browser, a question in a console. Where nobody can be asked, nothing runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class ApprovalRequest:
    """One shell call that waits for a decision.

    `commands` are run one after the other, all or none. `reason` says in words why it asks. `kind` describes
    what "allow this kind" would allow from then on, such as `rm *`; it is empty where the commands are of no
    kind that can be told apart, and then `remember` means these very commands.
    """

    id: str
    commands: tuple[str, ...]
    reason: str
    kind: str = ""


@dataclass(frozen=True)
class Decision:
    """What the person decided.

    `commands` replace those that were asked about (None: they run as they are); only with `approve`. `reason`
    is told to the model. `remember`: allow this kind without asking, as long as this kernel lives.
    """

    approve: bool
    commands: tuple[str, ...] | None = None
    reason: str | None = None
    remember: bool = False


@runtime_checkable
class Asker(Protocol):
    """Asks a person."""

    async def ask(self, request: ApprovalRequest) -> Decision:
        """Wait for the decision, however long it takes. One question is open at a time.

        Cancelling it takes the question away; nothing is decided then.
        """
        ...


class Approvals:
    """What one notebook has decided so far, and who can be asked in the cell that runs.

    The kernel sets `asker` at the beginning of each cell: the live view where it is an `Asker`, a question
    where the front end takes input, else None.
    """

    def __init__(self) -> None:
        self.asker: Asker | None = None
