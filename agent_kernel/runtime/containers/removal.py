"""Removal of sandboxes, verified."""

from __future__ import annotations

from agent_kernel.errors import InvalidRequest, SandboxError, SandboxGone
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.sandboxes.base import Backend, SandboxRef


async def remove_verified(backend: Backend, ref: SandboxRef, audit: AuditLog) -> None:
    """Remove a sandbox, check that it is gone, and audit that. Raises `SandboxError` if it is not."""
    await backend.delete(ref)
    try:
        await backend.get(ref.id)
    except SandboxGone:
        audit.write("delete", container=ref.id, verified=True)
        return
    audit.write("delete", container=ref.id, verified=False)
    raise SandboxError(
        f"The sandbox {ref.id} is still there after it was removed.",
        hint="See what holds it: agent-kernel containers list",
    )


def expired_for_good() -> InvalidRequest:
    """Return the error for an expired container that left no checkpoint."""
    return InvalidRequest(
        "Container is expired.",
        hint="Create a new one; its files are gone. The audit log says so if they were too large to keep, or "
        "in folders nested too deeply for Docker.",
    )


def gone(container_id: str, *, kept: bool = False) -> SandboxGone:
    """Return the error for a container that was ended by something else; `kept`: its files are kept."""
    if kept:
        return SandboxGone(
            f"Container {container_id} was ended from outside. Its files are kept.",
            hint="Use it again: that brings it back, without its processes and shell variables.",
        )
    return SandboxGone(
        f"Container {container_id} was ended from outside, and its files could not be kept.",
        hint="Create a new container, or ask for container_auto, which makes one.",
    )
