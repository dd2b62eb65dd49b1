"""What the engine is asked for: one hardened container per sandbox, as the body of its create request.

Whatever is not named here stays with the engine's defaults: its seccomp profile, its masked and read-only
paths below /proc and /sys, and no device beyond the pseudo ones.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from agent_kernel.sandboxes.base import MANAGED_LABEL, WORKSPACE, SandboxRef, SandboxSpec, Status

if TYPE_CHECKING:
    from docker import APIClient

LABELS_LABEL = "agent_kernel.labels"
"""The labels as asked for, in JSON: the engine mixes the image's own labels with ours."""

ATTEMPT_LABEL = "agent_kernel.attempt"
"""Unique for each attempt to create: a clean-up removes what that attempt made and nothing else."""

CAPABILITIES = (
    "CHOWN",  # archives and packages are unpacked with their owners
    "DAC_OVERRIDE",  # root works on files of other users, as installers expect
    "FOWNER",  # ... and on their modes and times
    "FSETID",  # ... and keeps their set-id bits
    "SETUID",  # a service may drop to a user of its own
    "SETGID",
    "KILL",  # and boxd must be able to end that service
)
"""What root keeps inside; every other capability is dropped. None of them reaches beyond the container."""

TMPFS = {
    "/tmp": "rw,exec,nosuid,nodev,size=256m,mode=1777",  # noqa: S108 (inside) exec: build tools run what they make
    "/run": "rw,noexec,nosuid,nodev,size=64m,mode=755",
}
"""Counted against the container's memory limit, like everything in memory."""

_SHARED_MEMORY = 64 << 20
_OPEN_FILES = 4096


def container_name(id: str) -> str:  # noqa: A002 (the field's own word)
    """The container's name, from which a sandbox is found again."""
    return f"agent-kernel-{id}"


def create_arguments(
    api: APIClient, spec: SandboxSpec, *, image: str, runtime: str | None, command: list[str], attempt: str
) -> dict[str, Any]:
    """The arguments of docker-py's low-level `create_container`."""
    return {
        "name": container_name(spec.id),
        "image": image,
        "entrypoint": command[:1],  # the image's own entrypoint must not come between
        "command": command[1:],
        "user": "0:0",
        "working_dir": WORKSPACE,
        "hostname": "sandbox",
        "labels": {
            **spec.labels,
            MANAGED_LABEL: "1",
            LABELS_LABEL: json.dumps(dict(spec.labels)),
            ATTEMPT_LABEL: attempt,
        },
        "healthcheck": {"test": ["NONE"]},
        # Or docker-py would hand the proxies of ~/.docker/config.json, with their passwords, to the sandbox.
        "use_config_proxy": False,
        "host_config": _host_config(api, spec, runtime),
    }


def _host_config(api: APIClient, spec: SandboxSpec, runtime: str | None) -> dict[str, Any]:
    from docker.types import LogConfig, Ulimit

    config: dict[str, Any] = api.create_host_config(
        runtime=runtime,
        auto_remove=True,  # the end of boxd, by its lease or otherwise, is the end of everything
        network_mode="none",
        dns=["127.0.0.1"],  # without a network there is none, and the host's name servers are not told
        dns_search=["."],
        cap_drop=["ALL"],
        cap_add=list(CAPABILITIES),
        security_opt=["no-new-privileges"],
        cgroupns="private",
        ipc_mode="private",
        mem_limit=spec.memory,
        memswap_limit=spec.memory,  # memory and swap together: no swap beyond the limit
        pids_limit=spec.pids,
        ulimits=[
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="nofile", soft=_OPEN_FILES, hard=_OPEN_FILES),
        ],
        shm_size=_SHARED_MEMORY,
        tmpfs=TMPFS,
        init=False,  # boxd is process 1 and reaps, whatever the engine's default is
        # Whatever runs inside can write to process 1's output: nothing of it may reach the host's disk.
        log_config=LogConfig(type="none"),
    )
    return config


def status_of(state: Mapping[str, Any] | str) -> Status:
    """The status for the State of an inspection (an object) or of a listing (a word)."""
    word = state if isinstance(state, str) else state.get("Status", "")
    if word == "running":
        return "running"
    return "unreachable" if word in ("paused", "restarting") else "dead"


def reference(id: str, labels: Mapping[str, str], state: Mapping[str, Any] | str) -> SandboxRef:  # noqa: A002
    """A reference to a container of ours, with the labels it was asked for."""
    asked = json.loads(labels.get(LABELS_LABEL, "{}"))
    return SandboxRef(id, "docker", status_of(state), {**asked, MANAGED_LABEL: "1"})


def directories(path: str) -> bytes:
    """A tar of the folders that lead to `path`, to be unpacked at the root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        relative = PurePosixPath(path).relative_to("/")
        for folder in [*reversed(relative.parents), relative][1:]:
            member = tarfile.TarInfo(str(folder))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
    return buffer.getvalue()
