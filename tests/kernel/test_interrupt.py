"""Interrupts at every stage of a turn: it ends at once, keeps what was done, and the next cell goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.client import Notebook, Result
from tests.kernel.upstream import Played, played

pytestmark = pytest.mark.bubblewrap

"""Far more than the half second that it takes, far less than the turns would."""


@pytest.fixture
def upstream() -> Iterator[Played]:
    with played() as server:
        yield server


@pytest.fixture
def talking(
    start: Callable[..., Notebook], upstream: Played, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Notebook]:
    """A kernel that talks to the upstream."""
    monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_URL", upstream.url)
    monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_KEY", "key")
    monkeypatch.setenv("AGENT_KERNEL_MODEL", "chat/played")
    yield start("agent-demo")
    upstream.release.set()


def shows(words: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: words in json.dumps(message["content"])


def interrupted(notebook: Notebook, sent: str, times: int = 1) -> Result:
    """Interrupt, and what the cell sent from then on."""
    notebook.interrupt(times)
    result = notebook.collect(sent)
    assert result.reply["ename"] == "KeyboardInterrupt"
    return result


def test_while_waiting_for_the_model(talking: Notebook, upstream: Played) -> None:
    upstream.plays = "silent"
    sent = talking.send("look", cell_id="c")
    assert upstream.asked.wait(60)
    interrupted(talking, sent)
    upstream.plays = "well"
    assert talking.run("look").plain == ["Let me look."]


def test_in_mid_stream_what_was_said_is_kept_and_known(talking: Notebook, upstream: Played) -> None:
    upstream.plays = "halting"
    sent = talking.send("look", cell_id="c")
    talking.collect(sent, until=shows("Let me look."))
    assert "Let me look." in interrupted(talking, sent).plain
    upstream.plays = "well"
    talking.run("look")
    assert "Let me look." in json.dumps(upstream.requests[-1]["messages"])


def test_in_a_command_it_is_killed_and_its_output_kept_and_known(notebook: Notebook) -> None:
    sent = notebook.send("wait for ever", cell_id="c")
    notebook.collect(sent, until=shows("begun\\n"))
    assert any("begun" in text for text in interrupted(notebook, sent).plain)
    assert notebook.run("!pgrep -c sleep").plain[-1].startswith("0")
    assert notebook.run("remember").reply["status"] == "ok"
    assert notebook.run("what was it").plain[-1] == "It was blue."


def test_in_an_approval_nothing_has_run(start: Callable[..., Notebook]) -> None:
    notebook = start("agent-live")
    sent = notebook.send("%approve ask touch *\nshow everything", cell_id="c")
    notebook.collect(sent, until=lambda message: bool(_question(message)))
    interrupted(notebook, sent)
    assert "shown" not in notebook.run("!ls /mnt/data").plain[-1]
    assert notebook.run("!echo on").plain[-1].startswith("on")


def _question(message: dict[str, Any]) -> Any:
    data = message["content"].get("data")
    state = data.get("state") if isinstance(data, dict) else None
    state = state.get("state") if isinstance(state, dict) else None
    return state.get("question") if isinstance(state, dict) else None


def test_in_an_upload(notebook: Notebook) -> None:
    path = Path(notebook.folder) / "large.bin"
    with path.open("wb") as file:
        file.truncate(450_000_000)
    sent = notebook.send("%upload large.bin", cell_id="c")
    notebook.collect(
        sent, until=lambda message: message["msg_type"] in ("display_data", "update_display_data")
    )
    notebook.interrupt()
    result = notebook.collect(sent)  # it may have been just done
    assert result.reply["status"] == "ok" or result.reply["ename"] == "KeyboardInterrupt"
    if result.reply["status"] == "error":
        assert "large.bin" not in notebook.run("!ls /mnt/data").plain[-1]
    assert notebook.run("say hello").plain == ["Hello, **world**."]


def test_five_in_a_row_harm_nothing(notebook: Notebook) -> None:
    assert notebook.run("remember").reply["status"] == "ok"
    for _ in range(5):
        sent = notebook.send("wait for ever", cell_id="c")
        notebook.collect(sent, until=shows("begun\\n"))
        interrupted(notebook, sent, times=5)
    notebook.interrupt(5)  # with nothing to interrupt
    assert notebook.run("what was it").plain[-1] == "It was blue."
    assert notebook.run("!pgrep -c sleep").plain[-1].startswith("0")
