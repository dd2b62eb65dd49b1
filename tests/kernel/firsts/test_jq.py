"""jq, which people try first, on Docker: installed by apt, in a notebook and over the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.egress.clients.web import WebServer
from tests.kernel.client import Notebook
from tests.kernel.firsts.conftest import PERSON, allow, shell
from tests.kernel.firsts.debian import PACK, PACKED, REMOVE, describe
from tests.kernel.firsts.sites import DATA, DEBIAN
from tests.server.keyed import Keyed

pytestmark = pytest.mark.docker

ASK = "Install jq, fetch the log and keep only the errors."
SAID = "There are **3 errors**; they are in errors.jsonl."


@pytest.fixture(scope="module")
def debian(on_docker: Keyed, web: WebServer) -> None:
    """Put jq into the Debian repository: the packages of the image itself."""
    tools: Any = [{"type": "shell"}]
    with on_docker.client(PERSON) as client:
        made = client.responses.create(model="agent_kernel/shell", input=PACK, tools=tools)
        container = made.tools[0].environment.container_id  # type: ignore[union-attr]
        for file in client.containers.files.list(container):
            content = client.containers.files.content.retrieve(file.id, container_id=container).read()
            (web.folder / DEBIAN / Path(file.path).name).write_bytes(content)
        client.containers.delete(container)
    assert {f"{name}.deb" for name in PACKED} <= {path.name for path in (web.folder / DEBIAN).iterdir()}, made
    describe(web.folder / DEBIAN)


def test_notebook_installs_jq_and_keeps_the_errors(
    notebook_docker: Notebook, web: WebServer, debian: None
) -> None:
    notebook = notebook_docker
    allow(notebook, web, DEBIAN, DATA)
    assert notebook.run(f"!{REMOVE}").reply["status"] == "ok"
    said = notebook.run(ASK).plain
    assert SAID in said, "\n".join(said)
    notebook.run("%download errors.jsonl")
    assert (notebook.folder / "errors.jsonl").read_text().count('"level":"error"') == 3


def test_client_installs_jq_and_gets_the_errors(on_docker: Keyed, web: WebServer, debian: None) -> None:
    tools = shell(web, DEBIAN, DATA)
    with on_docker.client(PERSON) as client:
        without = client.responses.create(model="agent_kernel/shell", input=REMOVE, tools=tools)
        found = client.responses.create(input=ASK, tools=tools, previous_response_id=without.id)
        assert found.output_text == SAID
        container = found.tools[0].environment.container_id  # type: ignore[union-attr]
        (file,) = [
            each for each in client.containers.files.list(container) if each.path.endswith("/errors.jsonl")
        ]
        errors = client.containers.files.content.retrieve(file.id, container_id=container).text
        client.containers.delete(container)
    assert errors.count('"level":"error"') == 3
