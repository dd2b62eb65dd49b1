"""A runtime that searches a small web on loopback, on a model that plays answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from agent_kernel.runtime.local import LocalRuntime
from agent_kernel.runtime.observe.audit import AuditLog
from agent_kernel.runtime.turns.settings import TurnSettings
from agent_kernel.sandboxes.base import Backend
from agent_kernel.tools.outbound import AllowedHosts
from agent_kernel.tools.web_search.access import WebAccess
from agent_kernel.tools.web_search.backends.configured import search_backend
from agent_kernel.tools.web_search.pages import Pages
from tests.runtime.played import Upstream, runtime_on
from tests.tools.web_search.served import Web, served_web

Make = Callable[..., AbstractAsyncContextManager[LocalRuntime]]


@pytest.fixture(scope="module")
def the_web() -> Iterator[Web]:
    with served_web() as web:
        yield web


@pytest.fixture
def web(the_web: Web) -> Web:
    the_web.asked.clear()
    the_web.posted.clear()
    return the_web


def pages_of(web: Web, *more: str) -> Pages:
    """Pages of this web, and of hosts in `more`."""
    return Pages(AllowedHosts.parse([f"tcp://{web.url.removeprefix('http://')}", *more], param="hosts"))


def access(web: Web, *more: str) -> TurnSettings:
    """Settings that allow exactly this web."""
    found = WebAccess(search_backend("searxng", web.url, "", "", 10.0), pages_of(web, *more))
    return TurnSettings(tools={"web_search": found})


@pytest.fixture
def runtime(upstream: Upstream, bubblewrap_backend: Backend, tmp_path: Path) -> Make:
    audit = AuditLog(tmp_path / "audit.jsonl")
    return partial(runtime_on, upstream.url, bubblewrap_backend, tmp_path, audit=audit)
