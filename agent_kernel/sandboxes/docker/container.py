"""The create request for a sandbox's hardened container.

Options not set here keep the engine's defaults: its seccomp profile, its masked and read-only
paths below /proc and /sys, and no device beyond the pseudo ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.sandboxes import memory_files
from agent_kernel.sandboxes.base import MANAGED_LABEL, WORKSPACE, SandboxRef, SandboxSpec, Status

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types import Mount

LABELS_LABEL = "agent_kernel.labels"
"""The requested labels as JSON, because the engine adds the image's own labels to ours."""

ATTEMPT_LABEL = "agent_kernel.attempt"
"""Unique for each attempt to create, so that its clean-up removes nothing else."""

CAPABILITIES = (
    "CHOWN",  # archives and packages are unpacked with their owners
    "DAC_OVERRIDE",  # root works on files of other users, as installers expect
    "FOWNER",  # ... and on their modes and times
    "FSETID",  # ... and keeps their set-id bits
    "SETUID",  # a service may drop to a user of its own
    "SETGID",
    "KILL",  # and boxd must be able to end that service
)
"""The capabilities of root inside. All others are dropped, and none reaches beyond the container."""

_TMPFS_OPTIONS = {
    memory_files.TMP: "rw,exec,nosuid,nodev,mode=1777",  # build tools run what they make
    memory_files.RUN: "rw,noexec,nosuid,nodev,mode=755",
}

_READ_ONLY = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/sys/fs/cgroup",
)
"""What engines make read-only by themselves, and a tmpfs that runc leaves writable and without a size where
control groups have a tree per controller."""

_GVISOR_TASKS = 512  # and some ten for each process inside: what gVisor takes of the host for itself


def container_name(id: str) -> str:  # noqa: A002 (the field's own word)
    """Return the container's name, from which a sandbox is found again."""
    return f"agent-kernel-{id}"


def volume_name(name: str) -> str:
    """Return the engine's name of a named volume."""
    return f"agent-kernel-{name}"


def is_gvisor(runtime: str | None) -> bool:
    """Return whether the engine's runtime of this name is gVisor, by the name it is installed under."""
    return runtime is not None and runtime.startswith("runsc")


def create_arguments(
    api: APIClient, spec: SandboxSpec, *, image: str, runtime: str | None, command: list[str], attempt: str
) -> dict[str, Any]:
    """Return the arguments of docker-py's low-level `create_container`."""
    return {
        "name": container_name(spec.id),
        "image": image,
        "entrypoint": command[:1],  # the image's own entrypoint must not come between
        "command": command[1:],
        "user": "0:0",
        "stdin_open": True,  # boxd's own input and output are the first stream; its end is passed on
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

    gvisor, sizes = is_gvisor(runtime), memory_files.sizes(spec.memory)
    config: dict[str, Any] = api.create_host_config(
        runtime=runtime,
        auto_remove=not spec.keep,  # else the end of boxd, by its lease or not, is the end of everything
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
        nano_cpus=None if spec.cpus is None else round(spec.cpus * 1e9),
        storage_opt=None if spec.disk is None else {"size": str(spec.disk)},
        ulimits=[
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="nofile", soft=spec.open_files, hard=spec.open_files),
            *([Ulimit(name="nproc", soft=spec.pids, hard=spec.pids)] if gvisor else []),
        ],
        # gVisor counts its processes itself, by nproc: the host's limit would end it with all that is inside.
        pids_limit=_GVISOR_TASKS + 10 * spec.pids if gvisor else spec.pids,
        mounts=_mounts(spec) or None,
        shm_size=sizes[memory_files.SHARED],
        tmpfs={path: f"{options},size={sizes[path]}" for path, options in _TMPFS_OPTIONS.items()},
        init=False,  # boxd is process 1 and reaps, whatever the engine's default is
        # Older engines set it by themselves; a lower port would otherwise need a capability.
        sysctls=None if spec.network is None else {"net.ipv4.ip_unprivileged_port_start": "0"},
        # Whatever runs inside can write to process 1's output: nothing of it may reach the host's disk.
        log_config=LogConfig(type="none"),
    )
    config["ReadonlyPaths"] = list(_READ_ONLY)
    return config


def _mounts(spec: SandboxSpec) -> list[Mount]:
    from docker.types import Mount

    made = [Mount(each.target, each.source, type="bind", read_only=True) for each in spec.mounted]
    for mount in made:
        # A file system that is mounted below the folder would stay writable under older engines.
        mount["BindOptions"] = {"NonRecursive": True, "Propagation": "rprivate"}
    if spec.volume is not None:
        # What the image holds in the workspace is copied into a new volume: a checkpoint's files.
        made.append(Mount(WORKSPACE, volume_name(spec.volume), labels={MANAGED_LABEL: "1"}))
    return made


def status_of(state: Mapping[str, Any] | str) -> Status:
    """Return the status for the State of an inspection (an object) or of a listing (a word)."""
    word = state if isinstance(state, str) else state.get("Status", "")
    if word == "running":
        return "running"
    return "unreachable" if word in ("paused", "restarting") else "dead"


def reference(id: str, labels: Mapping[str, str], state: Mapping[str, Any] | str) -> SandboxRef:  # noqa: A002
    """Return a reference to a container of ours, with the requested labels."""
    asked = json.loads(labels.get(LABELS_LABEL, "{}"))
    return SandboxRef(id, "docker", status_of(state), {**asked, MANAGED_LABEL: "1"})
