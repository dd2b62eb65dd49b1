"""A server with the vector stores of two people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from agent_kernel.keys import KeyLimits
from agent_kernel.models.catalogue import Models
from agent_kernel.sandboxes.toolbox import Toolbox
from tests.server.keyed import Keyed, keyed_server

SCRIPT = f"scripted/{Path(__file__).parent / 'script.yaml'}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    """The server; its sandboxes are those of bubblewrap."""
    models = Models(upstream_url=None, upstream_key=None, default=SCRIPT)
    people = {"alice": KeyLimits(), "bob": KeyLimits()}
    with keyed_server(tmp_path_factory.mktemp("served"), toolbox, people, models=models) as server:
        yield server


@pytest.fixture
def alice(served: Keyed) -> Iterator[OpenAI]:
    """A client."""
    with served.client("alice") as client:
        yield client
