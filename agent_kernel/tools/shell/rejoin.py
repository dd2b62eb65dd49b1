"""The resumption of shell calls after their process died.

boxd outlives its host, so a command continues while no server is running. Commands are named by response,
call and index, and boxd lists the names that it has. A command can therefore be read on, or is known never
to have begun, or is lost. Commands of a turn run one after the other, so none after the last one that boxd
knows can have begun. Only those are run, and nothing runs twice.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.context import LostCall, RejoinedCall
from agent_kernel.tools.shell.drafts import ShellOutputDraft
from agent_kernel.tools.shell.run import Rejoined, command_name


def rejoined(calls: Sequence[LostCall], response_id: str, known: Set[str]) -> list[RejoinedCall]:
    """Implement `Tool.rejoin`. The state of a call maps each command without an outcome to `Rejoined`."""
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


async def abandoned(calls: Sequence[LostCall], channel: Channel) -> None:
    """Implement `Tool.abandon`."""
    known = await channel.commands()
    for call in calls:
        for index in range(len(call.call["action"]["commands"])):
            if (name := command_name(call.name, index)) in known:
                await channel.end(name)
