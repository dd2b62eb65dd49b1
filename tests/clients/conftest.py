"""`agent-kernel serve`, as anybody would start it, and a tap between it and the client under test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from openai import OpenAI

from agent_kernel.sandboxes.toolbox import Toolbox
from tests import forked
from tests.clients.node import NodeMissing, install
from tests.clients.tap import Tap
from tests.conftest import CHECKOUT, Missing, share_programs
from tests.tools.web_search.served import served_web

KEY = "sk-clients"
MODEL = f"scripted/{Path(__file__).parent / 'script.yaml'}"


@contextmanager
def serving(data: Path, toolbox: Toolbox, *flags: str, **more: str) -> Iterator[str]:
    """Run a server with its own data folder; at the end it is stopped and its containers are removed.

    `more` is for its environment.
    """
    data.mkdir(exist_ok=True)
    share_programs(data, toolbox)
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AGENT_KERNEL_", "OPENAI_"))}
    image = {n: v for n, v in os.environ.items() if n == "AGENT_KERNEL_IMAGE"}
    environment = {
        **kept,
        **image,
        "PYTHONPATH": str(CHECKOUT),
        "AGENT_KERNEL_API_KEY": KEY,
        "AGENT_KERNEL_DATA_DIR": str(data),
        **more,
    }
    process, url = forked.serve("--server-lease", "60", *flags, environment=environment, stderr=2)
    try:
        yield url
        with OpenAI(base_url=url, api_key=KEY) as client:
            for container in client.containers.list(limit=100):
                client.containers.delete(container.id)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(
    scope="session",
    params=[pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox
) -> Iterator[str]:
    """The base URL of a server that plays `script.yaml` in real sandboxes."""
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    with served_web() as web:
        flags = ["--model", MODEL, "--sandbox", request.param]
        flags += ["--web-search", "searxng", "--web-search-url", web.url]
        with serving(tmp_path_factory.mktemp("server") / "data", toolbox, *flags) as url:
            yield url


@pytest.fixture
def documents(server: str) -> str:
    """The id of a vector store with two documents on that server."""
    files = {"reactor.md": b"The coolant is liquid sodium.", "other.md": b"Sailing is about wind."}
    with OpenAI(base_url=server, api_key=KEY) as client:
        store = client.vector_stores.create(name="documents").id
        made = [client.files.create(file=each, purpose="assistants").id for each in files.items()]
        batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=made, poll_interval_ms=50)
        assert batch.file_counts.completed == len(files)
    return store


@pytest.fixture
def tap(server: str) -> Iterator[Tap]:
    """The line to that server; when the test has passed, every stream on it is held against the types."""
    with Tap(server) as tap:
        yield tap
        tap.check()


@pytest.fixture(scope="session")
def node(missing: Missing) -> Path:
    """Node, with the npm packages of this folder."""
    try:
        return install()
    except NodeMissing as why:
        missing(str(why))
