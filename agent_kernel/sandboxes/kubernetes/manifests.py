"""The objects that a sandbox consists of, as the API's JSON.

A pod meets Pod Security's level `restricted`: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent_kernel.sandboxes import launch, memory_files
from agent_kernel.sandboxes.base import MANAGED_LABEL, WORKSPACE, SandboxSpec
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings

PREFIX = "agent-kernel-"
CONTAINER = "sandbox"
MANAGED = {"app.kubernetes.io/managed-by": "agent-kernel"}
"""The label of every object of ours. Labels of specs may hold any text, so they are kept as an annotation."""
ID_NOTE = "agent-kernel/id"
LABELS_NOTE = "agent-kernel/labels"
VOLUME_LABEL = "agent-kernel/volume"

PROGRAM_FOLDER = "/opt/agent-kernel/program"
PROGRAM_FILE = "boxd"
HOME = "/home/agent"
PYTHON = "python3"

Manifest = dict[str, Any]

_START = """\
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
program = open({program!r}, "rb").read()
{run}
"""

_FUTURE = "from __future__ import annotations\n"
_ATTACH = """\
import os, time
until = time.monotonic() + 30
while not os.path.exists({path!r}) and time.monotonic() < until:
    time.sleep(0.005)
os.write(1, {ready!r})
"""


def object_name(sandbox: str) -> str:
    """Return the name of a sandbox's pod, and of its claim, both of which are lower case without `_`."""
    return PREFIX + sandbox.lower().replace("_", "-")


def attach_argv() -> list[str]:
    """Return the command that waits until boxd listens, says so, and hands its input and output to boxd."""
    argv = launch.attach_argv(python=PYTHON)
    code = argv.index("-c") + 1
    wait = _ATTACH.format(path=launch.SOCKET, ready=launch.READY)
    first, rest = argv[code].split(_FUTURE, 1)
    return [*argv[:code], first + _FUTURE + wait + rest, *argv[code + 1 :]]


def claim_name(volume: str) -> str:
    """Return the name of a named volume's claim. Such names are lower case, and ours need not be."""
    return f"{PREFIX}volume-{volume.encode().hex()}"


def claim(name: str, settings: KubernetesSettings, labels: Mapping[str, str]) -> Manifest:
    """Return a claim of the configured size and class."""
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": settings.workspace_size}},
    }
    if settings.storage_class:
        spec["storageClassName"] = settings.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": {**MANAGED, **labels}},
        "spec": spec,
    }


def network_policy() -> Manifest:
    """Return the policy that allows no pod of ours any traffic, in either direction."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{PREFIX}deny-all", "labels": MANAGED},
        "spec": {"podSelector": {"matchLabels": MANAGED}, "policyTypes": ["Ingress", "Egress"]},
    }


def program_map(name: str, content: str) -> Manifest:
    """Return the map that holds boxd. `content` is in Base64. It cannot be changed, only removed."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": MANAGED},
        "immutable": True,
        "binaryData": {PROGRAM_FILE: content},
    }


def pod(
    spec: SandboxSpec,
    settings: KubernetesSettings,
    *,
    image: str,
    runtime_class: str,
    program: str,
    claim: str,
) -> Manifest:
    """Return the pod of a sandbox. `program` names the map with boxd; `claim` its claim, empty for none."""
    details: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostname": "sandbox",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": settings.user,
            "runAsGroup": settings.user,
            "fsGroup": settings.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "dnsPolicy": "None",  # boxd answers names, if anybody does
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "containers": [_container(spec, settings, image)],
        "volumes": _volumes(spec, settings, program, claim),
    }
    optional: Manifest = {
        "runtimeClassName": runtime_class,
        "nodeSelector": settings.node_selector,
        "tolerations": settings.tolerations,
        "imagePullSecrets": [{"name": name} for name in settings.pull_secrets],
    }
    details |= {name: value for name, value in optional.items() if value}
    notes = {ID_NOTE: spec.id, LABELS_NOTE: json.dumps({**spec.labels, MANAGED_LABEL: "1"})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": object_name(spec.id), "labels": MANAGED, "annotations": notes},
        "spec": details,
    }


def _container(spec: SandboxSpec, settings: KubernetesSettings, image: str) -> Manifest:
    listen = f"path:{launch.SOCKET}"
    start = _START.format(
        files=spec.open_files, program=f"{PROGRAM_FOLDER}/{PROGRAM_FILE}", run=launch.run_program()
    )
    # Without ports: an ordinary user cannot take low ones, so there is only the proxy.
    network = replace(spec.network, ports=()) if spec.network else None
    argv = launch.serve_argv(
        python=PYTHON, listen=listen, lease=spec.lease, network=network, streamed=True, start=start
    )
    limits = {"memory": str(spec.memory)}
    if spec.cpus is not None:
        limits["cpu"] = f"{round(spec.cpus * 1000)}m"
    if settings.gpus:
        limits[settings.gpu_resource] = str(settings.gpus)
    return {
        "name": CONTAINER,
        "image": image,
        "command": argv,
        "workingDir": WORKSPACE,
        "stdin": True,  # boxd waits for a host there too, and cannot wait on /dev/null
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "env": [{"name": "HOME", "value": HOME}, {"name": "USER", "value": "agent"}],
        "resources": {"limits": limits, "requests": _requests(spec, settings)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "program", "mountPath": PROGRAM_FOLDER, "readOnly": True},
            {"name": "workspace", "mountPath": WORKSPACE, "subPath": "workspace"},
            {"name": "workspace", "mountPath": HOME, "subPath": "home"},
            {"name": "workspace", "mountPath": launch.STATE, "subPath": "state"},
            {"name": "tmp", "mountPath": memory_files.TMP},
            {"name": "shared", "mountPath": memory_files.SHARED},
            {"name": "run", "mountPath": launch.RUN},
            {"name": "programs", "mountPath": launch.PROGRAMS},
        ],
    }


def _requests(spec: SandboxSpec, settings: KubernetesSettings) -> dict[str, str]:
    cpu = settings.cpu_request if spec.cpus is None else f"{round(min(spec.cpus, 0.1) * 1000)}m"
    return {"cpu": cpu, "memory": settings.memory_request}


def _volumes(spec: SandboxSpec, settings: KubernetesSettings, program: str, claim: str) -> list[Manifest]:
    workspace: Manifest = (
        {"persistentVolumeClaim": {"claimName": claim}}
        if claim
        else {"emptyDir": {"sizeLimit": settings.workspace_size}}
    )
    sizes = memory_files.sizes(spec.memory)
    in_memory = {
        "tmp": sizes[memory_files.TMP],
        "shared": sizes[memory_files.SHARED],
        "run": sizes[memory_files.RUN],
        "programs": sizes[memory_files.RUN],
    }
    return [
        {"name": "workspace", **workspace},
        {"name": "program", "configMap": {"name": program}},
        *(
            {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": str(size)}}
            for name, size in in_memory.items()
        ),
    ]
