"""Going back: a container gets the state of one of its snapshots, under its own id.

Where the backend can, the snapshot's files are put under the sandbox as it runs, and the sandbox begins anew
with them: see `RestoresInPlace`. A host that is killed before the sandbox has done so leaves that to the next
use.

Everywhere else, and when that fails, the container gets a new sandbox. It starts beside the old one, and has
an id of its own. The container's row names the sandbox that counts, so changing the row is the moment at
which the container goes back: before it everything is as it was, after it the old sandbox is left over. A
crash at any point leaves one of the two, and the sweep removes the other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from agent_kernel.errors import (
    CapabilityMissing,
    ChannelBroken,
    NotFound,
    SandboxBusy,
    SandboxError,
    SandboxGone,
    SandboxUnreachable,
)
from agent_kernel.runtime.access.quota import Quota
from agent_kernel.runtime.containers.attachment import Attachment
from agent_kernel.runtime.containers.lifecycle import Lifecycle
from agent_kernel.runtime.containers.resources import shown
from agent_kernel.runtime.containers.snapshots.steady import held, in_use
from agent_kernel.sandboxes.base import WORKSPACE, SandboxRef
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.near.uninterrupted import to_the_end
from agent_kernel.sandboxes.optional import RestoresInPlace, Snapshot
from agent_kernel.store.records import ContainerRow
from agent_kernel.store.rows import Rows
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.optional import NamesVariables

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_NAMED = 20
"""Command lines, and names of variables, that are told."""

ASKING = 3.0
"""Seconds for what the old sandbox says about itself."""

RENEWING = 10.0
"""Seconds for a sandbox to begin anew."""


@dataclass(frozen=True)
class Left:
    """What a container had, and cannot take along: command lines, and names of variables."""

    ended: Sequence[str] = ()
    lost: Sequence[str] = ()


class GoingBack:
    """Puts the containers in `rows` back to their snapshots."""

    def __init__(self, lifecycle: Lifecycle, rows: Rows, allowance: Quota) -> None:
        self._lifecycle = lifecycle
        self._store = rows
        self._allowance = allowance

    async def restore(self, container_id: str, snapshot: Snapshot) -> Left:
        """Put a container back; see `KeepsSnapshots.restore`.

        One that has ended comes back. Raises `LimitReached` if too many others live.
        """
        attachment = self._lifecycle.attachment(container_id)
        attachment.begin()
        try:
            async with held(attachment.changing, container_id), held(attachment.lock, container_id):
                return await self._restored(container_id, snapshot, attachment)
        finally:
            attachment.end()
            await self._store.touch_container(container_id, time.time())

    async def _restored(self, container_id: str, snapshot: Snapshot, attachment: Attachment) -> Left:
        began, row = time.monotonic(), await self._row(container_id)
        _check_workspace(row)
        await self._lifecycle.check_backend(row)
        # Before anything else: an expiry in another process sees this and leaves the container alone.
        await self._store.touch_container(container_id, time.time())
        row, old = await self._opened(row)
        left = Left()
        if row.status == "running":
            left = await self._replaced(row, snapshot, attachment, old)
        else:
            await self._lifecycle.revive(row, snapshot, self._allowance)
        attachment.put_back += 1
        attachment.brought_back = "put_back"
        self._lifecycle.audit.of(row.tenant).write(
            "restore", container=container_id, snapshot=snapshot.id, asked=True,
            ended=len(left.ended) or None, seconds=time.monotonic() - began,
        )  # fmt: skip
        log.info("Container %s went back to the snapshot %s.", container_id, snapshot.id)
        return left

    async def _opened(self, row: ContainerRow) -> tuple[ContainerRow, Channel | None]:
        """Return the row as it is now, and the channel; None if it has ended or its sandbox is broken."""
        try:
            row = await self._lifecycle.settled(row)
        except SandboxGone:  # dead: a snapshot brings it back
            return await self._row(row.id), None
        channel: Channel | None = None
        try:
            channel = await self._lifecycle.attach(row, restore=False)
        except SandboxGone:
            log.debug("Container %s has no sandbox.", row.id)
        except (ChannelBroken, SandboxUnreachable) as error:
            log.warning("Container %s goes back without its sandbox being asked: %s", row.id, error)
        return await self._row(row.id), channel

    async def _replaced(
        self, row: ContainerRow, snapshot: Snapshot, attachment: Attachment, old: Channel | None
    ) -> Left:
        old = await _idle(row, attachment, old)
        left = await _left_in(old) if old is not None else Left()
        try:
            old = await _idle(row, attachment, old, leaves=True)  # it was woken to answer
            if old is not None and await to_the_end(self._in_place(row, snapshot, attachment, old)):
                return left
            new = replace(row, sandbox=f"{row.id}-{secrets.token_hex(4)}")
            channel = await self._lifecycle.start(new, snapshot)
            await to_the_end(self._swap(row, new, channel, attachment))
        except BaseException:
            if old is not None and attachment.channel is old:
                await asyncio.shield(self._go_on(row, attachment, old))
            raise
        return left

    async def _in_place(
        self, row: ContainerRow, snapshot: Snapshot, attachment: Attachment, old: Channel
    ) -> bool:
        """Put the snapshot under the sandbox as it runs. False if the container needs a new sandbox."""
        backend = await self._lifecycle.engine()
        ref = SandboxRef(row.sandbox_id, backend.name, "running")
        if not isinstance(backend, RestoresInPlace) or not old.renews:
            return False
        if not await backend.put_back(ref, snapshot.id):
            return False
        try:
            await _in_time(old, old.renew(), RENEWING)
            channel = await self._lifecycle.networks.attached(backend, ref, row)
        except SandboxError as error:
            log.warning("Container %s needs a new sandbox to go back: %s", row.id, error)
            await old.aclose(went_back(row.id))  # its files are the snapshot's, so it cannot go on
            return False
        await self._swap(row, row, channel, attachment)
        return True

    async def _swap(
        self, row: ContainerRow, new: ContainerRow, channel: Channel, attachment: Attachment
    ) -> None:
        """Let the row name the new sandbox, and remove the old one; or remove the new one and raise.

        Both are the same if it went back in place.
        """
        try:
            if not await self._store.replace_sandbox(row.id, row.sandbox, new.sandbox, time.time()):
                now = await self._row(row.id)
                doing = "went back to another snapshot" if now.sandbox != row.sandbox else "has ended"
                raise SandboxBusy(f"Container {row.id} {doing} meanwhile.", hint="Try again.")
        except BaseException:
            await channel.aclose()
            await self._lifecycle.put_away(new)
            raise
        old, attachment.channel = attachment.channel, None
        attachment.lead_into(new.sandbox_id, channel)
        if old is not None:
            await old.aclose(went_back(row.id))
        if new.sandbox != row.sandbox:
            await self._lifecycle.put_away(row)
        if await self._store.container(row.id) is None:  # it was deleted meanwhile
            await attachment.aclose()
            await self._lifecycle.put_away(new)
            raise _unknown(row.id)

    async def _go_on(self, row: ContainerRow, attachment: Attachment, old: Channel) -> None:
        """Let the old sandbox go on after a failure. What is wrong with it, its next use reports."""
        try:
            await old.wake()
            attachment.paused = False
            await self._lifecycle.networks.equip(row, old)
        except SandboxError as error:
            log.debug("A container that did not go back: %s", error)

    async def _row(self, container_id: str) -> ContainerRow:
        row = await self._store.container(container_id)
        if row is None:
            raise _unknown(container_id)
        return row


def went_back(container_id: str) -> SandboxUnreachable:
    """Return the error of whatever was under way in a container that went back."""
    return SandboxUnreachable(
        f"Container {container_id} went back to an earlier state while this was under way.", hint="Try again."
    )


def _unknown(container_id: str) -> NotFound:
    return NotFound(f"There is no container {container_id!r}.", param="container_id")


def _check_workspace(row: ContainerRow) -> None:
    if (volume := shown(row.resources).get("volume")) is not None:
        raise CapabilityMissing(
            f"{WORKSPACE} of container {row.id} is the volume {volume!r}, which keeps its files as they are.",
            hint="Fork the snapshot: the new container has the files of that moment, and no volume.",
        )


async def _idle(
    row: ContainerRow, attachment: Attachment, channel: Channel | None, *, leaves: bool = False
) -> Channel | None:
    """Pause a container in which nothing runs. Return its channel; None if it does not answer.

    Raises `SandboxBusy`. One that does not answer counts as idle: going back is the way out of that.
    """
    if attachment.turns:
        raise in_use(row.id)
    if channel is None:
        return None
    try:
        idle = await _in_time(channel, channel.pause(idle=True, leaves=leaves))
    except SandboxError as error:
        log.warning("Container %s goes back without its sandbox being asked: %s", row.id, error)
        return None
    if not idle:
        raise in_use(row.id)
    attachment.paused = True
    return channel


async def _left_in(channel: Channel) -> Left:
    """Ask a sandbox what it cannot take along. One that does not answer has said nothing."""
    try:
        return await _in_time(channel, _told_by(channel))
    except SandboxError as error:
        log.info("A sandbox did not say what it cannot take along to a snapshot: %s", error)
        return Left()


async def _told_by(channel: Channel) -> Left:
    found = await channel.aftermath(WORKSPACE, None)
    ended = [line.partition(": ")[2] for line in found.running] if found is not None else []
    lost: list[str] = []
    for name in catalogue().types:
        tool: object = catalogue().get(name)
        if isinstance(tool, NamesVariables):
            lost += await tool.variables(channel)
    return Left(tuple(ended[:MOST_NAMED]), tuple(lost[:MOST_NAMED]))


async def _in_time(channel: Channel, work: Coroutine[Any, Any, T], seconds: float = ASKING) -> T:
    """Do something in a sandbox. One that takes longer than `seconds` loses the channel to it.

    Raises `SandboxUnreachable` then.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            await channel.aclose(SandboxUnreachable("The sandbox does not answer."))
        return await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
