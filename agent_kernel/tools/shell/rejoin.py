"""Goes on with shell calls whose process died.

boxd outlives its host, so a command goes on while no server is there. Commands are named by response, call
and place, and boxd lists the names that it has: so a command is read on, or is known never to have begun, or
is lost. Commands of a turn run one after the other. That is why no command after the last one that boxd has
can have begun, and only those are run. Nothing runs twice.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from agent_kernel.tools.context import LostCall, RejoinedCall
from agent_kernel.tools.shell.drafts import ShellOutputDraft
from agent_kernel.tools.shell.run import Rejoined, command_name


def rejoined(calls: Sequence[LostCall], response_id: str, known: Set[str]) -> list[RejoinedCall]:
    """See `Tool.rejoin`. A state is the call's commands without an outcome: `Rejoined` by index."""
    if not any(name.startswith(f"{response_id}/") for name in known):
        return []  # its commands may have ended long ago, or the sandbox is a new one
    names = [
        [command_name(call.name, n) for n in range(len(call.call["action"]["commands"]))] for call in calls
    ]
    in_order = [name for each in names for name in each]
    last = max((place for place, name in enumerate(in_order) if name in known), default=-1)
    lost = set(in_order[: last + 1]) - known
    found = []
    for call, commands in zip(calls, names, strict=True):
        draft = call.draft if isinstance(call.draft, ShellOutputDraft) else None
        state = {
            index: Rejoined(
                "watch" if name in known else "lost" if name in lost else "run",
                *(draft.streamed(index) if draft is not None else ("", "")),
            )
            for index, name in enumerate(commands)
            if draft is None or index not in draft.finished
        }
        found.append(RejoinedCall(any(name in known for name in commands), state))
    return found
