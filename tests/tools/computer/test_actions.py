"""Actions on a desktop in bubblewrap, verified by what a page inside reports."""

from __future__ import annotations

import asyncio
import base64
import struct

import pytest

from agent_kernel.tools.computer.inside.names import chord_of
from agent_kernel.tools.computer.session import Shot
from agent_kernel.tools.computer.settings import DesktopSettings
from tests.tools.computer.conftest import Desk
from tests.tools.computer.crashes import crashes_are_mended

pytestmark = [
    pytest.mark.bubblewrap,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.unsplit("desktop"),
]

TEXT = "Hällo, Wörld! {a|b}~ Привет 日本語 العربية हिन्दी 😀€"


def size(shot: Shot) -> tuple[int, int]:
    """Return the width and height of a PNG file."""
    data = base64.b64decode(shot.data)
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


async def test_each_action_has_a_screenshot(desk: Desk) -> None:
    done = await desk.act({"type": "move", **desk.at(300, 300)}, {"type": "wait"}, {"type": "screenshot"})
    assert done.status == "ok"
    assert [shot.step for shot in done.shots] == [0, 1, 2]
    assert [size(shot) for shot in done.shots] == [(640, 400), (640, 400), (1280, 800)]


@pytest.mark.parametrize("button", ["left", "right", "wheel"])
async def test_a_click_reaches_its_place(desk: Desk, button: str) -> None:
    click = {"type": "click", "button": button, **desk.at(50, 250), "keys": ["SHIFT", "ctrl"]}
    assert (await desk.act(click)).status == "ok"
    kind, number = {"left": ("click", 0), "wheel": ("auxclick", 1), "right": ("contextmenu", 2)}[button]
    told = await desk.told(kind)
    assert (told["button"], told["x"], told["y"]) == (number, 50, 250)
    assert told["mods"] == ["ctrl", "shift"]


async def test_a_double_click_is_one(desk: Desk) -> None:
    await desk.act({"type": "double_click", **desk.at(60, 260)})
    assert (await desk.told("dblclick"))["mods"] == []


async def test_text_of_many_scripts_is_typed(desk: Desk) -> None:
    select = {"type": "keypress", "keys": ["CTRL", "A"]}
    await desk.act(
        {"type": "click", "button": "left", **desk.at(100, 100)}, select, {"type": "type", "text": TEXT}
    )
    await desk.told("text", lambda each: each["value"] == TEXT)


@pytest.mark.slow
async def test_more_characters_than_spare_keys(desk: Desk) -> None:
    text = "".join(chr(0x4E00 + n) for n in range(100)) + "\nend"
    select = {"type": "keypress", "keys": ["ctrl+a"]}
    await desk.act(
        {"type": "click", "button": "left", **desk.at(100, 100)}, select, {"type": "type", "text": text}
    )
    await desk.told("text", lambda each: each["value"] == text)


@pytest.mark.parametrize(
    ("keys", "key", "mods"),
    [
        (["ENTER"], "Enter", []),
        (["Page_Down"], "PageDown", []),
        (["ArrowLeft"], "ArrowLeft", []),
        (["ctrl+shift+k"], "K", ["ctrl", "shift"]),
        (["CTRL", "ALT", "j"], "j", ["ctrl", "alt"]),
        (["A"], "A", ["shift"]),
        (["F9"], "F9", []),
        (["+"], "+", ["shift"]),
    ],
)
async def test_keys_have_the_names_of_all_dialects(
    desk: Desk, keys: list[str], key: str, mods: list[str]
) -> None:
    click = {"type": "click", "button": "left", **desk.at(100, 100)}
    assert (await desk.act(click, {"type": "keypress", "keys": keys})).status == "ok"
    await desk.told("key", lambda each: each["key"] == key and each["mods"] == mods)


async def test_chords_are_read_in_every_spelling() -> None:
    control, plus = 0xFFE3, 0x2B
    for keys in (["ctrl++"], ["Control", "+"], ["CTRL", "plus"], ["Control_L", "kp_add"]):
        found = chord_of(keys)
        assert found == [control, plus if "kp" not in keys[-1] else 0xFFAB], keys
    assert chord_of(["CTRL", "L"]) == [control, ord("l")]
    assert chord_of(["L"]) == [ord("L")]
    assert chord_of(["ctrl+bogus"]) == "bogus"


async def test_a_drag_follows_its_path(desk: Desk) -> None:
    path = [desk.at(20, 340), desk.at(220, 340), desk.at(220, 540)]
    assert (await desk.act({"type": "drag", "path": path, "keys": ["shift"]})).status == "ok"
    told = await desk.told("drag")
    assert told["path"][0] == [20, 20]
    assert told["path"][-1] == [220, 220]
    assert [220, 20] in told["path"]
    assert len(told["path"]) > 5
    assert told["mods"] == ["shift"]


async def test_a_scroll_has_its_amounts(desk: Desk) -> None:
    await desk.act({"type": "scroll", **desk.at(800, 100), "scroll_x": 0, "scroll_y": 590})
    down = await desk.told("scroll", lambda each: each["top"] > 0)
    assert down["top"] == pytest.approx(600, abs=1)
    await desk.act({"type": "scroll", **desk.at(800, 100), "scroll_x": 230, "scroll_y": -5000})
    await desk.told("scroll", lambda each: each["top"] == 0 and each["left"] == pytest.approx(240, abs=1))


async def test_what_cannot_be_done_is_said(desk: Desk) -> None:
    done = await desk.act({"type": "move", **desk.at(5, 5)}, {"type": "click", "x": 5000, "y": 1})
    assert done.status == "error"
    assert done.said == (
        "Action 1 was not done: The place (5000, 1) is not on the screen, which is 1280 x 800.",
    )
    assert len(done.shots) == 2
    done = await desk.act({"type": "keypress", "keys": ["ctrl", "Bogus"]})
    assert done.said == ("Action 0 was not done: There is no key with the name 'Bogus'.",)
    assert (await desk.act({"type": "screenshot"})).status == "ok"


async def test_a_second_size_is_refused(desk: Desk) -> None:
    done = await desk.act({"type": "screenshot"}, display=DesktopSettings(800, 600))
    assert done.status == "error"
    assert done.said[0].startswith("The desktop of this container is 1280x800, scale 1,")


async def test_nothing_of_the_hosts_display_is_there(desk: Desk) -> None:
    sockets = await desk.sandbox(
        "ls /tmp/.X11-unix; cat /proc/net/tcp /proc/net/tcp6 | grep -c ':177[0-9A-F] ' "
    )
    assert sockets.stdout.decode().split() == ["X0", "0"]


@pytest.mark.slow
async def test_a_screen_at_rest_uses_no_processor(desk: Desk) -> None:
    await desk.act(
        {"type": "keypress", "keys": ["CTRL", "L"]},
        {"type": "type", "text": "about:blank\n"},
        *[{"type": "wait"}] * 2,
    )
    ours = "$(pgrep -x Xvfb; pgrep -x openbox; pgrep -f '^python3 -I -c import os')"
    ticks = (
        f"for each in {ours}; do cat /proc/$each/stat; done | awk '{{n += $14 + $15}} END {{print NR, n}}'"
    )
    manager = "cat /proc/$(pgrep -x openbox)/stat"  # seconds after a text it still reads new maps of the keys
    caught_up = (
        f'for n in $(seq 30); do was=$({manager}); sleep 1; [ "$was" = "$({manager})" ] && break; done'
    )
    used = await desk.sandbox(f"{caught_up}; {ticks}; sleep 3; {ticks}")
    (count, before), (_, after) = (map(int, line.split()) for line in used.stdout.splitlines())
    assert count == 3
    assert after - before <= 2  # hundredths of a second; a loop that looks takes more
    await desk.open_page()


async def test_cancelling_stops_and_the_desktop_stays(desk: Desk) -> None:
    waits = [{"type": "type", "text": "x"}, *[{"type": "wait"}] * 30]
    first = asyncio.Event()

    async def shown(_: Shot) -> None:
        first.set()

    task = asyncio.create_task(desk.act({"type": "click", **desk.at(100, 100)}, *waits, shown=shown))
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    done = await desk.act({"type": "screenshot"})
    assert (done.status, len(done.shots), done.said) == ("ok", 1, ())


async def test_what_takes_too_long_is_stopped(desk: Desk) -> None:
    done = await desk.act(*[{"type": "wait"}] * 30, seconds=1.0)
    assert done.status == "stopped"
    assert done.said == ("The actions took longer than 1 s and were stopped.",)
    assert (await desk.act({"type": "screenshot"})).status == "ok"


@pytest.mark.slow
async def test_crashes_are_told_and_mended(desk: Desk) -> None:
    await crashes_are_mended(desk)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_ten_thousand_actions_leave_no_trace(desk: Desk) -> None:
    driver = "/proc/$(pgrep -f '^python3 -I -c import os')"
    left = f"awk '/^VmRSS/ {{print $2}}' {driver}/status; ls {driver}/fd | wc -l; ls /proc | grep -c '^[0-9]'"
    moves = [{"type": "move", "x": 10 + n, "y": 700} for n in range(500)]
    found = []
    for _ in range(20):
        done = await desk.act(*moves, quiet=0.0, seconds=600.0)
        assert (done.status, len(done.shots)) == ("ok", 500)
        found.append([*map(int, (await desk.sandbox(left)).stdout.split())])
    (kilobytes, *first), *_, (at_last, *last) = found[1:]
    assert at_last < kilobytes + 20_000
    assert last[0] == first[0]  # descriptors
    assert last[1] < first[1] + 9  # processes: the browser's come and go; one left by each batch would be 18
    assert (await desk.sandbox("pgrep -c Xvfb")).stdout == b"1\n"
