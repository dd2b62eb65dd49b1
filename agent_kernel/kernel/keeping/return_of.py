"""The return of a kept session's container: alive, from a snapshot, from its checkpoint, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_kernel.errors import AgentKernelError, InvalidRequest, NotFound, SandboxGone
from agent_kernel.kernel.branches.tree import Point
from agent_kernel.runtime.snapshots import KeepsSnapshots

if TYPE_CHECKING:
    from agent_kernel.runtime.base import Containers


@dataclass(frozen=True)
class ReturnedContainer:
    """`gone` says why there is no container; empty if there is. `ended` and `shell` as in `CameBack`.

    `restored`: it is at the point that it was asked to return to.
    """

    gone: str = ""
    ended: bool = False
    shell: bool = True
    restored: bool = False


async def returned(containers: Containers, container_id: str, at: Point | None) -> ReturnedContainer:
    """Bring a container back. If its sandbox has ended, `at` has what it held then, the shell included.

    Raises `SandboxError` if that cannot be told now: an engine that does not answer, for instance.
    """
    try:
        found = await containers.retrieve(container_id)
        if found.status == "running":
            await containers.files.list(container_id, limit=1)
            return ReturnedContainer()
    except NotFound as error:
        return ReturnedContainer(gone=_why(error))
    except SandboxGone:  # it has ended at this moment
        found = await containers.retrieve(container_id)
    if at is not None and await _restored(containers, container_id, at):
        return ReturnedContainer(ended=True, restored=True)
    try:
        await containers.files.list(container_id, limit=1)
    except (SandboxGone, InvalidRequest) as error:
        return ReturnedContainer(gone=_why(error))
    ours = (found.model_extra or {}).get("agent_kernel")
    kept = ours.get("kept") if isinstance(ours, Mapping) else None
    return ReturnedContainer(ended=True, shell=kept == "all")


async def _restored(containers: Containers, container_id: str, at: Point) -> bool:
    if not isinstance(containers, KeepsSnapshots) or at.gone:
        return False
    try:
        await containers.restore(container_id, at.id)
    except AgentKernelError:  # its own checkpoint is tried next, and its error told
        return False
    return True


def _why(error: AgentKernelError) -> str:
    if isinstance(error, NotFound):
        return "its container was deleted"
    if isinstance(error, SandboxGone):
        return "its sandbox had ended, and its files could not be kept"
    return "its container had expired, and its checkpoint was removed or could not be taken"


async def mark_gone(containers: Containers, container_id: str, points: Sequence[Point]) -> None:
    """Say of each point whose snapshot is not there any more that it is gone."""
    there: set[str] = set()
    if isinstance(containers, KeepsSnapshots) and points:
        try:
            there = {each.id for each in await containers.snapshots(container_id)}
        except AgentKernelError:  # then they cannot be restored either
            there = set()
    for point in points:
        if not point.gone and point.id not in there:
            point.gone = "its snapshot was removed"
