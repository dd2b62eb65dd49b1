"""The comm target of the extension, asked by a client of a real kernel, also while a cell runs."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from agent_kernel.kernel.ledger import TurnRecord
from agent_kernel.kernel.notebook import Notebook as AgentNotebook
from agent_kernel.kernel.offers.tools import SHELL_MODEL
from agent_kernel.kernel.panel.held import answers
from agent_kernel.kernel.panel.messages import LARGEST_BUFFER, LONGEST_ID, MOST_BUFFERS, VERSION
from agent_kernel.kernel.panel.panel import MOST_PAGES
from agent_kernel.kernel.panel.source import PanelSource
from agent_kernel.kernel.panel.state import state_of
from agent_kernel.kernel.settings import KernelSettings
from tests.conftest import CHECKOUT
from tests.kernel.client import RENEW, Notebook
from tests.kernel.panel.page import Page

pytestmark = pytest.mark.bubblewrap


def refused(answer: dict[str, Any]) -> str:
    return str(answer["error"]["message"])


def test_connected_page_gets_the_state(page: Page) -> None:
    state = page.state()
    assert state["cell"] is None
    assert state["questions"] == []
    assert state == page.result("state")


def test_state_follows_a_cell_and_stop_ends_it(page: Page, kernel: Notebook) -> None:
    sent = kernel.send("wait for ever", cell_id="cell-7")
    state = page.state(lambda state: state["cell"] is not None and state["container"]["id"] is not None)
    assert state["cell"]["id"] == "cell-7"
    assert state["container"]["sandbox"] == "bubblewrap"
    assert page.result("state")["cell"]["number"] == state["cell"]["number"]
    assert page.result("stop") == {"stopping": True}
    assert kernel.reply(sent)["evalue"].startswith("Stopped by you after")
    assert page.result("state")["cell"] is None
    assert page.result("stop") == {"stopping": False}


def test_state_shows_that_a_short_cell_was_there(page: Page, kernel: Notebook) -> None:
    newest = page.result("state")["newest"]
    sent = kernel.send("%model")
    state = page.state(lambda state: state["newest"] == newest + 1)  # it may come before the cell ends
    kernel.reply(sent)
    assert state["cell"] is None or state["cell"]["number"] == newest + 1


async def test_state_shows_model_tokens_and_cost_of_turns() -> None:
    async def nothing(*_: Any) -> Any:
        raise AssertionError("the state asks no runtime")

    settings = KernelSettings(prices={"small": [1.0, 2.0]})
    notebook = AgentNotebook(nothing, settings, logging.getLogger(__name__), nothing)
    source = PanelSource(notebook, stop=lambda: None, cell=lambda: None, view=lambda: None)
    assert state_of(source)["usage"] == {"input_tokens": 0, "output_tokens": 0, "cost": None}
    notebook.ledger.records += [
        TurnRecord(1, model="chat/small", input_tokens=1_000_000, output_tokens=500_000),
        TurnRecord(2, model="chat/unknown", input_tokens=3, output_tokens=4),
        TurnRecord(3, model=SHELL_MODEL),
    ]
    state = state_of(source)
    assert state["model"] == "chat/unknown"
    assert state["usage"] == {"input_tokens": 1_000_003, "output_tokens": 500_004, "cost": 2.0}


def test_settings_are_those_of_the_lines(page: Page, kernel: Notebook) -> None:
    default = page.result("settings")
    chosen = {
        "model": "chat/small",
        "instructions": "Be brief.",
        "budget": {"seconds": 30.0},
        "approval": {"default": "ask", "rules": []},
    }
    assert {name: page.result("set", chosen)[name] for name in chosen} == chosen
    assert "chat/small" in kernel.run("%model").plain[0]
    assert "Be brief." in kernel.run("%instructions").plain[0]
    assert "30 seconds" in kernel.run("%budget").plain[0]
    assert "You are asked before every command." in kernel.run("%approve").plain[0]
    kernel.run("%budget tokens=7")
    assert page.result("settings")["budget"] == {"tokens": 7}
    kernel.run(RENEW)
    assert page.result("settings") == default
    page.result("set", chosen)
    assert page.result("set", dict.fromkeys(chosen)) == default


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"model": 1},
        {"model": "two words"},
        {"model": "x" * 2000},
        {"budget": {"seconds": -1}},
        {"budget": [1]},
        {"budget": {"model": 1}},
        {"approval": {"default": "perhaps"}},
        {"instructions": ["a"]},
        {"instructions": "x" * 100_001},
        {"approve": "auto"},
        {"model": "chat/small", "budget": "none"},
    ],
)
def test_wrong_settings_change_nothing(page: Page, wrong: dict[str, Any]) -> None:
    before = page.result("settings")
    assert refused(page.ask("set", wrong))
    assert page.result("settings") == before


def envelope(**changed: Any) -> dict[str, Any]:
    return {"version": VERSION, "id": "odd", "request": "state", "arguments": {}, **changed}


@pytest.mark.parametrize(
    "data",
    [
        envelope(version=2),
        envelope(version=True),
        envelope(version=None),
        envelope(request="no such request"),
        envelope(request="__class__"),
        envelope(request=["state"]),
        envelope(arguments=[1]),
        envelope(arguments={"more": 1}),
        envelope(request="decide", arguments={}),
        envelope(request="decide", arguments={"question": 5, "approve": True}),
        envelope(request="decide", arguments={"question": "x" * 200_000, "approve": True}),
        envelope(request="decide", arguments={"question": "none", "approve": True}),
        envelope(request="stop", arguments={"cell": "1"}),
    ],
)
def test_wrong_request_gets_a_reason(page: Page, data: dict[str, Any]) -> None:
    page.say(data)
    answer = page.until(lambda data: data.get("reply") == "odd")
    assert refused(answer)
    assert "Traceback" not in json.dumps(answer)
    assert page.result("state")["cell"] is None


@pytest.mark.parametrize(
    "data", [None, [], "state", 5, {}, {"id": 5}, {"id": "x" * (LONGEST_ID + 1)}, {"id": ""}]
)
def test_message_without_id_is_ignored(page: Page, data: object) -> None:
    page.say(data)
    page.say(envelope())
    assert page.until(lambda data: "reply" in data)["reply"] == "odd"


@pytest.mark.parametrize("buffers", [[b"x" * (LARGEST_BUFFER + 1)], [b"x"] * (MOST_BUFFERS + 1)])
def test_too_many_bytes_are_refused(page: Page, buffers: list[bytes]) -> None:
    assert "buffer" in refused(page.ask("state", buffers=buffers))


def test_request_that_comes_again_is_carried_out_once(page: Page, kernel: Notebook) -> None:
    assert kernel.run("!echo 12 > once.txt; head -c 3000000 /dev/zero > large").reply["status"] == "ok"

    def again(request: str, arguments: dict[str, Any]) -> dict[str, Any]:
        page.say({**envelope(request=request, arguments=arguments), "id": request})
        answer = page.until(lambda data: data.get("reply") == request)
        return {**answer, "bytes": [bytes(each) for each in page.buffers]}

    for request, arguments in (
        ("delete", {"path": "once.txt"}),
        ("download", {"download": "d", "path": "large"}),
        ("piece", {"download": "d"}),
    ):
        first = again(request, arguments)
        assert "error" not in first
        assert again(request, arguments) == first
    assert again("state", {})["result"]["files"] > 0
    assert again("state", {})["result"]["cell"] is None


def test_answers_that_are_kept_are_bounded() -> None:
    kept = answers.GivenAnswers()
    for number in range(answers.MOST_REMEMBERED + 9):
        kept.add(f"{number}", {"reply": f"{number}"}, [b"x" * (1 << 20)])
    newest = answers.MOST_REMEMBERED + 8
    assert kept.get(f"{newest}") == ({"reply": f"{newest}"}, [b"x" * (1 << 20)])
    assert (f"{newest - 4}" in kept, kept.get(f"{newest - 4}")) == (True, None)
    assert "8" not in kept


def test_oldest_page_is_closed_for_a_new_one(kernel: Notebook) -> None:
    pages = [Page(kernel) for _ in range(MOST_PAGES + 1)]
    closed = None
    while closed is None:
        message = kernel.message()
        closed = message["content"]["comm_id"] if message["msg_type"] == "comm_close" else None
    assert closed == pages[0].id
    assert pages[-1].result("state")["cell"] is None
    for page in pages[1:]:
        page.close()


def test_every_request_is_documented() -> None:
    from agent_kernel.kernel.panel.requests import REQUESTS

    page = (CHECKOUT / "docs" / "extension-protocol.md").read_text()
    assert [name for name in REQUESTS if f"| `{name}` |" not in page] == []
