"""Rules: the places of a page that an action may touch only once a person has allowed it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.desktop.items import RULES
from agent_kernel.tools.computer.rules import read_risk, read_rules, risk_of
from tests.tools.computer.conftest import Desk

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.unsplit("desktop"),
]

Json = dict[str, Any]
ALL = tuple(RULES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def risky(desk: Desk) -> AsyncIterator[Desk]:
    """The desktop with a page that has something of each kind."""
    keys = {"type": "keypress", "keys": ["CTRL", "L"]}
    await desk.act(keys, {"type": "type", "text": "http://127.0.0.1:8000/risky\n"}, {"type": "wait"})
    await desk.told("risky")
    yield desk


def click(desk: Desk, y: int) -> Json:
    return {"type": "click", "button": "left", **desk.at(100, y)}


@pytest.mark.parametrize(
    ("y", "kind", "label"),
    [
        (70, "form", "Send"),
        (170, "payment", "Pay 5 EUR"),
        (220, "download", "Report"),
        (270, "domain", "Elsewhere"),
    ],
)
async def test_click_stops_at_its_place(risky: Desk, y: int, kind: str, label: str) -> None:
    done = await risky.act({"type": "screenshot"}, click(risky, y), rules=ALL)
    assert (done.status, len(done.shots)) == ("error", 2)
    assert done.risk is not None
    assert (done.risk["kind"], done.risk["label"]) == (kind, label)
    left, top, right, bottom = done.risk["box"]
    x, y = risky.at(100, y).values()
    assert left <= x < right
    assert top <= y < bottom
    assert right - left == pytest.approx(200, abs=1)
    assert done.said[-1].startswith(f"Action 1 was not done: {RULES[kind]} (“{label}”), on 127.0.0.1:8000.")


async def test_keys_stop_in_a_form_and_a_password(risky: Desk) -> None:
    assert (await risky.act(click(risky, 20), {"type": "type", "text": "Oslo"}, rules=ALL)).status == "ok"
    done = await risky.act({"type": "keypress", "keys": ["ENTER"]}, rules=ALL)
    assert done.risk == {"kind": "form", "label": "", "host": "127.0.0.1:8000"}
    done = await risky.act(click(risky, 120), {"type": "type", "text": "hunter2"}, rules=ALL)
    assert done.risk == {"kind": "credentials", "label": "", "host": "127.0.0.1:8000"}
    assert len(done.shots) == 2


async def test_address_of_another_site_stops(risky: Desk) -> None:
    keys = {"type": "keypress", "keys": ["CTRL", "L"]}
    done = await risky.act(keys, {"type": "type", "text": "192.0.2.7/x\n"}, rules=ALL)
    assert done.risk == {"kind": "domain", "label": "192.0.2.7", "host": "192.0.2.7"}
    await risky.act({"type": "keypress", "keys": ["ESC"]}, {"type": "keypress", "keys": ["ESC"]})


async def test_what_was_allowed_is_done_and_nothing_else(risky: Desk) -> None:
    done = await risky.act(click(risky, 170), rules=ALL)
    assert (await risky.act(click(risky, 70), rules=ALL, allowed=done.risk)).status == "error"
    assert (await risky.act(click(risky, 170), rules=ALL, allowed=done.risk)).status == "ok"
    await risky.told("paid")
    assert (await risky.act(click(risky, 170), rules=("download",))).status == "ok"
    assert (await risky.act(click(risky, 320), rules=ALL)).status == "ok"
    await risky.told("harmless")


async def test_next_call_to_the_place_asks() -> None:
    risk = {"kind": "form", "label": "Send", "host": "a.example", "box": [10, 10, 50, 30]}
    output = {"type": "computer_screenshot", "agent_kernel": {"risk": risk}}
    earlier = [{"type": "computer_call_output", "output": output}]

    def asks(*actions: Json) -> bool:
        return risk_of({"actions": list(actions)}, earlier, "computer_call_output") is not None

    assert asks({"type": "click", "x": 10, "y": 29})
    assert not asks({"type": "click", "x": 10, "y": 30})
    assert asks({"type": "wait"}, {"type": "drag", "path": [{"x": 0, "y": 0}, {"x": 11, "y": 11}]})
    assert not asks({"type": "type", "text": "x"})


async def test_claims_of_a_sandbox_are_bounded() -> None:
    assert read_risk({"kind": "other"}) is None
    assert read_risk({"kind": "form", "label": "x" * 999, "box": [1, 2, 3]}) == {
        "kind": "form", "label": "x" * 60, "host": "",
    }  # fmt: skip
    with pytest.raises(InvalidRequest):
        read_rules(["everything"], "ask")
    assert read_rules([], "ask") == ()
