"""The user watches a desktop, takes it over, acts, and hands it back."""

from __future__ import annotations

import asyncio
import struct

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.desktop.items import shown
from agent_kernel.protocol.desktop.watching import read_action, read_events
from tests.tools.computer.conftest import Desk, Json
from tests.tools.computer.watching import click, typed, watching

pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]

FIELD = (100, 100)
LONG: list[Json] = [{"type": "keypress", "keys": ["F24"], "agent_kernel": {"seconds": 1}}] * 20


async def test_the_screen_and_each_action_are_seen_as_they_happen(desk: Desk) -> None:
    async with watching(desk) as watcher:
        await watcher.until(lambda: any(each.last for each in watcher.pieces))
        first = watcher.pieces[0]
        assert (first.top, first.width, first.height) == (0, 1280, 800)
        rows = sum(struct.unpack_from(">I", each.png, 20)[0] for each in watcher.pieces)
        assert rows == 800
        seen = len(watcher.pieces)
        action = {"type": "click", "button": "left", **desk.at(*FIELD)}
        acting = asyncio.create_task(desk.act(action, {"type": "wait"}))
        await watcher.until(lambda: any(each.action == action for each in watcher.news))
        await watcher.until(lambda: len(watcher.pieces) > seen)  # the field has the focus
        assert (await acting).status == "ok"
        await watcher.until(lambda: watcher.news[-1].action is None)


async def test_the_model_waits_while_the_user_acts_and_is_told(desk: Desk) -> None:
    async with watching(desk) as watcher:
        acting = asyncio.create_task(desk.act(*LONG))
        await watcher.until(lambda: any(each.action for each in watcher.news))
        await watcher.watched.take()
        await watcher.until(lambda: watcher.news[-1].user)
        await watcher.watched.act(click(desk, *FIELD))
        await watcher.watched.act(typed("über/ÄB日"))
        shift = [{"type": "down", "key": "Shift"}, *typed("/X"), {"type": "down", "key": "Home"}]
        await watcher.watched.act(shift)
        await watcher.watched.act([{"type": "up", "key": "Shift"}, *typed("Z")])
        await desk.told("text", lambda each: each["value"] == "Z")
        assert not acting.done()
        await watcher.watched.hand_back()
        done = await acting
        assert done.status == "error"
        assert len(done.shots) < len(LONG) / 2
        assert "The user took over the mouse and the keyboard" in done.said[0]
        assert f"Action {done.shots[-1].step} was not done" in done.said[1]
        assert (await desk.act({"type": "screenshot"})).said == ()
        with pytest.raises(InvalidRequest, match="not taken over"):
            await watcher.watched.act(typed("x"))


async def test_after_a_look_the_model_goes_on_where_it_was(desk: Desk) -> None:
    async with watching(desk) as watcher:
        pauses: list[Json] = [{"type": "keypress", "keys": ["F24"], "agent_kernel": {"seconds": 0.3}}] * 5
        acting = asyncio.create_task(desk.act(*pauses))
        await watcher.until(lambda: any(each.action for each in watcher.news))
        await watcher.watched.take()
        assert not acting.done()
        await watcher.watched.hand_back()
        done = await acting
        assert (done.status, done.said) == ("ok", ())
        assert [each.step for each in done.shots] == sorted({each.step for each in done.shots})
        assert done.shots[-1].step == 4


async def test_a_user_who_is_gone_holds_nothing(desk: Desk) -> None:
    async with watching(desk) as watcher:
        await watcher.watched.take()
        await watcher.watched.act([{"type": "down", "key": "Control"}])
        acting = asyncio.create_task(desk.act({"type": "screenshot"}))
        async with watching(desk, "tab") as other:
            await other.until(lambda: bool(other.news) and other.news[-1].user)
            assert not acting.done()
    done = await acting
    assert (done.status, len(done.said)) == ("ok", 1)
    await desk.act({"type": "keypress", "keys": ["q"]})
    assert (await desk.told("key"))["mods"] == []


async def test_a_cancelled_call_that_waits_leaves_the_desktop_to_the_user(desk: Desk) -> None:
    async with watching(desk) as watcher:
        await watcher.watched.take()
        acting = asyncio.create_task(desk.act({"type": "screenshot"}))
        await asyncio.sleep(0)
        acting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await acting
        await watcher.watched.act(click(desk, *FIELD))
        await watcher.watched.hand_back()
    assert (await desk.act({"type": "screenshot"})).status == "ok"


async def test_a_desktop_that_ends_is_taken_from_nobody(desk: Desk) -> None:
    async with watching(desk) as watcher:
        await watcher.watched.take()
        await watcher.until(lambda: bool(watcher.news) and watcher.news[-1].user)
        assert (await desk.sandbox("pkill -x Xvfb")).code == 0
        await watcher.until(lambda: not watcher.news[-1].running)
        with pytest.raises(InvalidRequest, match="ended"):
            await watcher.watched.act(typed("x"))
        with pytest.raises(InvalidRequest, match="not taken over"):
            await watcher.watched.act(typed("x"))
        await watcher.watched.take()  # a new one
        await watcher.until(lambda: watcher.news[-1].running and watcher.news[-1].user)
        await watcher.watched.hand_back()
    await desk.open_page()


@pytest.mark.parametrize(
    "events",
    [
        None,
        [],
        [{"type": "fly"}],
        [{"type": "move", "x": 1}],
        [{"type": "press", "x": 1, "y": 1, "button": 99}],
        [{"type": "wheel", "x": 1, "y": 1, "right": 0, "down": 10**9}],
        [{"type": "down", "key": "x" * 100}],
        [{"type": "text", "text": "\ud800"}],
        [{"type": "text", "text": "a"}] * 501,
    ],
)
async def test_a_malformed_event_is_refused(events: object) -> None:
    with pytest.raises(InvalidRequest):
        read_events(events)


@pytest.mark.parametrize(
    ("claimed", "read"),
    [
        (None, None),
        ("click", None),
        ({"type": 3}, None),
        ({"type": "click", "x": 10**30, "y": [1], "more": {"deep": 1}}, {"type": "click", "x": 8192}),
        ({"type": "keypress", "keys": ["a" * 100, 3]}, {"type": "keypress", "keys": ["a" * 40]}),
        ({"type": "drag", "path": 5}, {"type": "drag"}),
        ({"type": "drag", "path": [{"x": 1, "y": 2}, 3]}, {"type": "drag", "path": [{"x": "1", "y": "2"}]}),
        ({"type": "type", "text": "x" * 1000}, {"type": "type", "text": "x" * 300}),
    ],
)
async def test_what_a_desktop_says_is_bounded(claimed: object, read: Json | None) -> None:
    found = read_action(claimed)
    assert found == read
    assert found is None or len(shown(found)) <= 60
