"""Interrupts at every stage of a turn: it ends at once, keeps what was done, and the next cell goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.kernel.client import Notebook, Result
from tests.kernel.upstream import Played

pytestmark = pytest.mark.bubblewrap

Start = Callable[..., Notebook]


def shows(words: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: words in json.dumps(message["content"])


def interrupted(notebook: Notebook, sent: str, times: int = 1) -> Result:
    """Interrupt, and what the cell sent from then on."""
    notebook.interrupt(times)
    result = notebook.collect(sent)
    assert result.reply["ename"] == "KeyboardInterrupt"
    (error,) = [output["traceback"] for output in result.final if "traceback" in output]
    assert re.fullmatch(r"Stopped( by you)? after (\d+ min )?\d+ s\. Work done so far is kept\.", *error)
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
    before = json.dumps(upstream.requests[-1]["messages"]).count("Let me look.")
    upstream.plays = "well"
    talking.run("look")
    assert json.dumps(upstream.requests[-1]["messages"]).count("Let me look.") == before + 1


def test_in_a_command_it_is_killed_and_its_output_kept_and_known(fresh: Notebook) -> None:
    sent = fresh.send("wait for ever", cell_id="c")
    fresh.collect(sent, until=shows("begun\\n"))
    result = interrupted(fresh, sent)
    assert result.plain[-1] == "begun\n[stopped]", "no code, no name, and the stop is told once"
    assert result.reply["evalue"].startswith("Stopped by you")
    assert fresh.run("!pgrep -c sleep").plain[-1].startswith("0")
    assert fresh.run("remember").reply["status"] == "ok"
    assert fresh.run("what was it").plain[-1] == "It was blue."


def test_in_an_approval_nothing_has_run(start: Start) -> None:
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


def test_in_an_upload(fresh: Notebook) -> None:
    path = fresh.folder / "large.bin"
    with path.open("wb") as file:
        file.truncate(450_000_000)
    sent = fresh.send("%upload large.bin", cell_id="c")
    fresh.collect(sent, until=lambda message: message["msg_type"] in ("display_data", "update_display_data"))
    fresh.interrupt()
    result = fresh.collect(sent)  # it may have been just done
    assert result.reply["status"] == "ok" or result.reply["ename"] == "KeyboardInterrupt"
    if result.reply["status"] == "error":
        assert "large.bin" not in fresh.run("!ls /mnt/data").plain[-1]
    assert fresh.run("say hello").plain == ["Hello, **world**."]


def test_five_in_a_row_harm_nothing(fresh: Notebook) -> None:
    assert fresh.run("remember").reply["status"] == "ok"
    for _ in range(5):
        sent = fresh.send("wait for ever", cell_id="c")
        fresh.collect(sent, until=shows("begun\\n"))
        interrupted(fresh, sent, times=5)
    fresh.interrupt(5)  # with nothing to interrupt
    assert fresh.run("what was it").plain[-1] == "It was blue."
    assert fresh.run("!pgrep -c sleep").plain[-1].startswith("0")
