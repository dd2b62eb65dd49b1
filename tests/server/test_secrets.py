"""Secrets in the tools of a request are neither answered nor kept, whatever becomes of the request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.server.keyed import SHELL, Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap

HEADER, TOKEN = "s3cret-header-b41f", "s3cret-token-77aa"
OURS: dict[str, Any] = {
    "type": "mcp",
    "server_label": "agent_kernel",
    "server_url": "http://127.0.0.1:9/mcp",
    "headers": {"X-K": HEADER, "Deep": {"Er": HEADER}},
    "authorization": TOKEN,
}
FOREIGN = {**OURS, "server_label": "theirs"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
SECRETIVE = {**FUNCTION, "headers": {"X-K": HEADER}, "authorization": TOKEN}
NAMESPACE = {
    "type": "namespace",
    "name": "n",
    "description": "d",
    "authorization": TOKEN,
    "tools": [SECRETIVE],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    with keyed_server(tmp_path_factory.mktemp("data"), toolbox, {}) as server:
        yield server


def kept(server: Keyed) -> str:
    """Everything in the data folder: store, journal, audit log, blobs."""
    files = [
        path
        for path in server.folder.rglob("*")
        if path.is_file() and not {*path.parts} & {"toolbox", "boxd", "sandboxes"}
    ]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize(
    "tools",
    [[OURS], [OURS, SHELL], [FUNCTION, OURS], [SECRETIVE], [NAMESPACE], [FOREIGN], [FOREIGN, SHELL]],
    ids=["alone", "shell too", "function too", "function", "namespace", "refused", "refused, shell too"],
)
@pytest.mark.parametrize(
    "more", [{}, {"stream": True}, {"background": True}], ids=["whole", "stream", "later"]
)
def test_secrets_of_tools_go_nowhere(
    server: Keyed, tools: list[Any], more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    body = {"model": "agent_kernel/shell", "input": "true", "tools": tools, **more}
    answer = server.ask("", "POST", "/v1/responses", json=body)
    said = [answer.text]
    if answer.status_code == 200 and not more:
        made = answer.json()["id"]
        for path in (f"/v1/responses/{made}", f"/v1/responses/{made}/input_items"):
            said.append(server.ask("", "GET", path).text)
        following = {**body, "previous_response_id": made, "tools": [SHELL]}
        said.append(server.ask("", "POST", "/v1/responses", json=following).text)
    assert answer.status_code == (400 if FOREIGN in tools else 200), answer.text
    for text in (*said, kept(server), caplog.text):
        assert HEADER not in text
        assert TOKEN not in text
    assert json.dumps("mcp") not in said[0] or answer.status_code == 400
