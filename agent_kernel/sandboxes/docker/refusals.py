"""Errors for what an engine cannot do for a sandbox, each with its hint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_kernel.errors import (
    CapabilityMissing,
    ImageMissing,
    IsolationUnavailable,
    LimitUnavailable,
    SandboxStartFailed,
)
from agent_kernel.sandboxes.docker.image import DEFAULT_IMAGE


def check_isolation(info: Mapping[str, Any], runtime: str | None) -> None:
    """Refuse an engine without the asked-for runtime, or without system call filtering.

    Raises `IsolationUnavailable`.
    """
    runtimes = info.get("Runtimes") or {}
    if runtime is not None and runtime not in runtimes:
        raise IsolationUnavailable(
            f"The engine has no isolation runtime {runtime!r}, only: {', '.join(sorted(runtimes))}.",
            hint=f'Install {runtime} and name it under "runtimes" in the engine\'s daemon.json, or '
            "set AGENT_KERNEL_DOCKER_RUNTIME to one that it has.",
        )
    seccomp = [option for option in info.get("SecurityOptions") or [] if "name=seccomp" in option]
    if runtime is None and (not seccomp or "unconfined" in seccomp[0]):
        raise IsolationUnavailable(
            "The engine runs its containers without a seccomp filter.",
            hint="Start it with its default seccomp profile, or choose a runtime with its own kernel "
            "interface (AGENT_KERNEL_DOCKER_RUNTIME=runsc).",
        )


def image_missing(image: str) -> ImageMissing:
    """Make the error for an image that the engine does not have."""
    pull = f"Pull it (docker pull {image}) or set AGENT_KERNEL_IMAGE to one that it has."
    hint = "Build it: agent-kernel image build" if image == DEFAULT_IMAGE else pull
    return ImageMissing(f"The engine has no image {image}.", hint=hint)


def mounts_elsewhere() -> CapabilityMissing:
    """Make the error for mounts under an engine that may be on another machine."""
    return CapabilityMissing(
        "Folders can be mounted only by an engine on this machine, behind a Unix socket.",
        hint="Leave mounts out, or set DOCKER_HOST to the engine's socket.",
    )


def disk_unlimited(why: str) -> LimitUnavailable:
    """Make the error for a storage driver that cannot limit disk space."""
    return LimitUnavailable(
        f"This engine cannot limit a sandbox's disk space ({why}).",
        hint="Put its data root on XFS mounted with the option pquota (driver overlay2), or on btrfs or ZFS "
        "with their drivers; or request no disk limit.",
    )


def unfit(image: str, why: str) -> SandboxStartFailed:
    """Make the error for an image without a program that a sandbox needs."""
    return SandboxStartFailed(
        f"The image {image} cannot be a sandbox: {why}.",
        hint="A sandbox image needs python3 (3.8 or newer) and bash.",
    )
