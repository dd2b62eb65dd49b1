"""What an operator sets for sandboxes on Kubernetes, in the YAML file of `AGENT_KERNEL_BACKEND_SETTINGS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from agent_kernel.errors import ConfigurationError

_NAMES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}
_VARIABLE = "AGENT_KERNEL_BACKEND_SETTINGS"


@dataclass(frozen=True)
class KubernetesSettings:
    """The settings; each has the name of its key in the file. All are optional."""

    namespace: str = ""
    """The namespace of all pods and claims. Empty: the one of the server's own pod or of the kubeconfig."""
    kubeconfig: str = ""
    """The file that names the cluster. Empty: that of `KUBECONFIG`, or `~/.kube/config`."""
    context: str = ""
    """The context of the kubeconfig. Empty: the current one, or the pod's own account inside a cluster."""
    storage_class: str = ""
    """The StorageClass of claims. Empty: the cluster's default."""
    workspace_size: str = "2Gi"
    """What a claim asks for."""
    claims: bool = True
    """Whether each sandbox has a claim for its workspace; otherwise it has an `emptyDir` of that size."""
    pull_secrets: list[str] = field(default_factory=list)
    """The names of Secrets with which the image is pulled."""
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    gpus: int = 0
    """How many of `gpu_resource` each sandbox gets."""
    gpu_resource: str = "nvidia.com/gpu"
    cpu_request: str = "100m"
    """The share of a processor that the scheduler sets aside for each sandbox."""
    memory_request: str = "256Mi"
    user: int = 1000
    """The user and group id inside; it cannot be 0."""
    start_seconds: int = 180
    """How long a pod may take to start, pulling the image included."""
    accept_open_network: bool = False
    """Whether sandboxes start although the cluster does not enforce their NetworkPolicy."""


def read_settings(path: Path | None) -> KubernetesSettings:
    """Read the file. Without one, everything has its default.

    Raises `ConfigurationError` for a file that cannot be read, an unknown key and a value of another type.
    """
    if path is None:
        return KubernetesSettings()
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise ConfigurationError(f"{path} cannot be read: {why}.", hint=f"Correct {_VARIABLE}.") from error
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"{path} is no YAML mapping.", hint="Write one `name: value` a line.")
    known = {each.name: type(each.default) for each in fields(KubernetesSettings) if _is_plain(each.default)}
    known |= {"pull_secrets": list, "tolerations": list, "node_selector": dict}
    for name, value in found.items():
        if name not in known:
            raise ConfigurationError(
                f"{path} has an unknown setting, {name}.", hint=f"Known: {', '.join(sorted(known))}."
            )
        if type(value) is not known[name]:
            raise ConfigurationError(f"{name} in {path} is not {_NAMES[known[name]]}.")
    settings = KubernetesSettings(**found)
    if settings.user < 1:
        raise ConfigurationError(f"user in {path} is {settings.user}; sandboxes do not run as root.")
    return settings


def _is_plain(default: object) -> bool:
    return isinstance(default, (str, int, bool))
