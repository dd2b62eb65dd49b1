"""A notebook searches the web, if this machine has a search service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.client import Notebook
from tests.kernel.running import running
from tests.tools.web_search.served import served_web

pytestmark = pytest.mark.bubblewrap


def test_notebook_searches_the_web_and_shows_its_sources(jupyter_path: Path, tmp_path: Path) -> None:
    with served_web() as web:
        service = {"AGENT_KERNEL_WEB_SEARCH": "searxng", "AGENT_KERNEL_WEB_SEARCH_URL": web.url}
        with running(jupyter_path, tmp_path, **service) as notebook:
            search, answer = notebook.run("How high is the tide?").plain
    first, *sources = search.splitlines()
    assert first == "Searched the web for: tides. From outside: 2 pages."
    assert sources[0] == f"  Tides of the bay: {web.url}/tides"
    assert "javascript" not in search
    assert answer == "It rises **14[a] metres**.\n\n[a] Printed in output 1: On tides: 14 metres."


def test_without_a_service_the_web_is_not_offered(shared: Notebook) -> None:
    answer = shared.run("How high is the tide?").plain
    assert not any("Searched the web" in each for each in answer)
