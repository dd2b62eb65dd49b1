"""A backend on the cluster that `.ci/kubernetes` has started; see `make test-kubernetes`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from agent_kernel.sandboxes import catalogue
from agent_kernel.sandboxes.base import Backend
from agent_kernel.sandboxes.catalogue import BackendOptions
from agent_kernel.sandboxes.kubernetes.cluster import Cluster
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings
from tests.sandboxes.inside import new_id
from tests.sandboxes.shared import SharedSandbox

IMAGE = "agent-kernel.test/toolbox:1"
CLUSTER = os.environ.get("AGENT_KERNEL_TEST_CLUSTER", "")

collect_ignore_glob = [] if CLUSTER else ["test_*.py"]

HERE = Path(__file__).parent
SECONDS = 400
"""How long a test may take. The backend itself waits three minutes for a pod's start, and for its end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what would run twice: some tests of the contract name the backends that they are for."""
    items[:] = [item for item in items if HERE not in item.path.parents or "bubblewrap" not in values(item)]
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))


def values(item: pytest.Item) -> list[object]:
    """Return the parameters of a test."""
    call = getattr(item, "callspec", None)
    return [*call.params.values()] if call else []


def options(folder: Path, settings: str = "accept_open_network: true\n") -> BackendOptions:
    path = folder / "kubernetes.yaml"
    path.write_text(settings)
    return BackendOptions(folder, image=IMAGE, settings=path)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_pod(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SharedSandbox]:
    """One sandbox for most tests of a module."""
    shared = SharedSandbox(catalogue.make("kubernetes", options(tmp_path_factory.mktemp("kubernetes"))))
    yield shared
    await shared.aclose()
    await shared.backend.aclose()


@pytest.fixture(scope="module")
def shared_sandbox(shared_pod: SharedSandbox) -> SharedSandbox:
    """The sandbox of `shared_run`."""
    return shared_pod


@pytest.fixture
async def cluster_backend(tmp_path: Path) -> AsyncIterator[Backend]:
    made = catalogue.make("kubernetes", options(tmp_path))
    yield made
    await made.aclose()


@pytest.fixture
def backend(cluster_backend: Backend) -> Backend:
    return cluster_backend


@pytest.fixture
async def namespace() -> AsyncIterator[str]:
    """A namespace of the test's own."""
    from kubernetes.aio import client

    name = new_id()
    admin = Cluster(KubernetesSettings())
    await admin.connect()
    core = client.CoreV1Api(admin._api)
    await core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    yield name
    await core.delete_namespace(name)
    await admin.aclose()
