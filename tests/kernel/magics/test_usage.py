"""`%usage` and a notebook whose model has a small context window."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agent_kernel.kernel.ledger import context_of
from tests.kernel.client import Notebook
from tests.kernel.upstream import played

Start = Callable[..., Notebook]


@pytest.mark.bubblewrap
def test_usage_shows_how_full_the_window_is(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with played() as upstream:
        monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_URL", upstream.url)
        monkeypatch.setenv("AGENT_KERNEL_MODEL", "chat/played")
        notebook = start("agent-demo")
        notebook.run("look")
        assert "full" not in notebook.run("%usage").plain[0], "the size is not known yet"
        upstream.window = 8192
        notebook.run("!seq 1 9000")
        shown = notebook.run("look").plain
    assert shown[0] == "Let me look."
    line = "The conversation did not fit the model's context window of 8,192 tokens. For the model, long tool"
    assert shown[-1].startswith(line)
    text = notebook.run("%usage").plain[0]
    (percent, tokens) = re.findall(r"context window is (\d+)% full: ([\d,]+) of 8,192 tokens", text)[0]
    assert 30 < int(percent) <= 100
    assert int(tokens.replace(",", "")) <= 8192


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"context": {"tokens": 5, "window": 10}}, (5, 10)),
        ({"context": {"tokens": -5, "window": 10}}, (0, 10)),
        ({"context": {"tokens": 5, "window": 0}}, None),
        ({"context": {"tokens": "5", "window": 10}}, None),
        ({"context": [5, 10]}, None),
        ({}, None),
        ("context", None),
        (None, None),
    ],
)
def test_context_of_any_server(given: Any, found: tuple[int, int] | None) -> None:
    assert context_of(SimpleNamespace(model_extra={"agent_kernel": given})) == found
    assert context_of(SimpleNamespace(model_extra=None)) is None
