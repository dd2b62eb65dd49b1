"""docs/api-requests.md has every endpoint, and what it shows is what a server answers.

`WRITE_PAGE=1` writes it anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from agent_kernel.models.catalogue import Models
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server.routes import ENDPOINTS
from tests.docs.requests.page import Page
from tests.docs.requests.story import GROUPS
from tests.docs.tables import DOCS
from tests.server.keyed import Keyed, keyed_server

PAGE = DOCS / "api-requests.md"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    models = Models(upstream_url=None, upstream_key=None, default="scripted/demo")
    with keyed_server(tmp_path_factory.mktemp("server"), toolbox, {}, models=models) as server:
        yield server


def test_every_endpoint_has_a_request() -> None:
    paths = {
        each.path: re.compile(
            re.sub(r"\{\w+(:path)?\}", lambda found: r".+" if found[1] else r"[^/]+", each.path)
        )
        for each in ENDPOINTS
    }
    asked: set[tuple[str, str]] = set()
    for step in (step for steps in GROUPS.values() for step in steps):
        fitting = [path for path, pattern in paths.items() if pattern.fullmatch(step.path)]
        asked.add((step.method, min(fitting, key=lambda path: path.count("{"))))
    assert {(each.method, each.path) for each in ENDPOINTS} - asked == set()


@pytest.mark.bubblewrap
def test_page_shows_what_a_server_answers(server: Keyed) -> None:
    text = Page(server).text()
    if os.environ.get("WRITE_PAGE"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
    assert max(map(len, text.splitlines())) <= 100
