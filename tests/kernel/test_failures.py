"""What goes wrong outside of the kernel: each a short message in the notebook, and nothing lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.client import Notebook, Result
from tests.kernel.upstream import Played, played

pytestmark = pytest.mark.bubblewrap

Start = Callable[..., Notebook]


def assert_short(result: Result, *words: str) -> None:
    """One short error in words, no traceback, and the reply says the same."""
    assert result.reply["status"] == "error"
    assert result.kinds[-1] == "error"
    for word in words:
        assert word in result.error
    assert len(result.error) < 600
    assert len(result.reply["traceback"]) == 1
    (shown,) = result.reply["traceback"]
    assert shown.split() == result.reply["evalue"].split(), "the words alone: the name is for programs"
    assert all(len(line) < 80 or " " not in line for line in shown.split("\n"))


def test_an_upstream_that_works_is_not_announced(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with played() as upstream:
        talk_to(upstream.url, monkeypatch)
        assert start("agent-demo").run("look").plain == ["Let me look."]


def talk_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_URL", url)
    monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_KEY", "sk-secret-of-the-tests")
    monkeypatch.setenv("AGENT_KERNEL_MODEL", "chat/played")


def test_a_malformed_call_is_no_failure(talking: Notebook, upstream: Played) -> None:
    upstream.plays = "malformed"
    result = talking.run("look")
    assert result.reply["status"] == "ok"
    assert "Let me look." in result.plain
    assert "only calls that cannot be carried out" in result.plain[-1]
    upstream.plays = "well"
    assert talking.run("look").plain == ["Let me look."]


@pytest.mark.parametrize(("plays", "words"), [("wrong key", "key"), ("dies", "ended")])
def test_an_upstream_that_fails(talking: Notebook, upstream: Played, plays: str, words: str) -> None:
    talking.run("!echo kept > kept.txt")
    upstream.plays = plays
    result = talking.run("look")
    assert_short(result, words)
    assert "sk-secret" not in str(result.messages)
    if plays != "wrong key":
        assert "Let me look." in result.plain
    upstream.plays = "well"
    assert talking.run("look").plain == ["Let me look."]
    assert talking.run("!cat kept.txt").plain[-1] == "kept"


def test_an_upstream_that_is_down(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        talk_to(address, monkeypatch)
        notebook = start("agent-demo")
        assert_short(notebook.run("look"), address)
        assert notebook.run("!echo still here").plain[-1] == "still here"


def test_no_engine(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    result = start("agent-docker").run("say hello")
    assert_short(result, "Docker")


def test_the_toolbox_is_missing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_PREPARE", "false")
    assert_short(start("agent-bare").run("say hello"), "agent-kernel")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_cell_prepares_the_toolbox(start: Start) -> None:
    notebook = start("agent-bare")
    sent = notebook.send("say hello", allow_stdin=True)
    seen: list[str] = []
    result = notebook.collect(sent, until=lambda message: "Hello" in shown(message, seen), wait=800)
    assert any("Installing" in text for text in seen), seen
    assert not any("Installing" in text for text in result.plain)  # progress leaves nothing in the notebook


def shown(message: dict[str, Any], seen: list[str]) -> str:
    seen.append(json.dumps(message["content"]))
    return seen[-1]


def test_a_runtime_that_nobody_serves(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        monkeypatch.setenv("AGENT_KERNEL_RUNTIME_URL", address)
        assert_short(start().run("say hello"), address)
