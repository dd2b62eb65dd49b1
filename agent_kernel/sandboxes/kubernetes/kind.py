"""The catalogue's row for Kubernetes. `auto` never chooses it."""

from __future__ import annotations

from agent_kernel.errors import ConfigurationError
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.catalogue import BackendKind, BackendOptions


def make(options: BackendOptions) -> Backend:
    """Return the backend. Raises `ConfigurationError` without an image, and for wrong settings."""
    from agent_kernel.sandboxes.kubernetes.backend import KubernetesBackend
    from agent_kernel.sandboxes.kubernetes.settings import read_settings

    if not options.image:
        raise ConfigurationError(
            "Sandboxes on Kubernetes need an image that the cluster's nodes can pull.",
            hint="Name one with python3 and bash: AGENT_KERNEL_IMAGE=registry.example.org/tools:1",
        )
    return KubernetesBackend(options.image, options.runtime or None, read_settings(options.settings))


KIND = BackendKind(make, runtimes=True)
