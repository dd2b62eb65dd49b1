"""Going back, without a sandbox: what is kept, what is restored, and what is said."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from agent_kernel.errors import CapabilityMissing, InvalidRequest, SandboxError
from agent_kernel.kernel.branches.drawing import branch_rows, caption, rows
from agent_kernel.kernel.settings import KernelSettings
from tests.kernel.branches.memory import SIZE, Desk

WORDS = ("one", "two", "three", "four", "five")


def said(desk: Desk) -> list[str]:
    return list(desk.said)


async def five(desk: Desk) -> None:
    for word in WORDS:
        await desk.run(word, word)


async def test_a_cell_run_again_goes_back_and_keeps_a_branch() -> None:
    desk = Desk()
    await five(desk)
    assert desk.shown == [], "a first run says nothing"
    assert desk.containers.taken == 5, "one point before each cell"
    await desk.run("two", "TWO")
    assert desk.shown == ["Went back to before this cell; the work of 3 later cells is kept as branch b2."]
    assert sorted(desk.files) == ["TWO", "last", "one"]
    assert said(desk) == ["one", "TWO"]
    assert desk.branches.tree.stale() == ["three", "four", "five"]
    await desk.branches.switch("b2", desk.outputs)
    assert desk.shown[1:] == ["Now on branch b2, as it was left; branch b1 is kept."]
    assert said(desk) == [*WORDS]
    assert sorted(desk.files) == sorted((*WORDS, "last"))
    assert desk.branches.tree.stale() == []
    await desk.branches.switch("b1", desk.outputs)
    assert said(desk) == ["one", "TWO"]


async def test_the_first_cell_goes_back_to_an_empty_container() -> None:
    desk = Desk()
    await desk.run("a", "one")
    await desk.run("a", "ONE")
    await desk.run("a", "one")
    assert desk.shown == [
        f"Went back to before this cell; its earlier work is kept as branch b{n}." for n in (2, 3)
    ]
    assert said(desk) == ["one"]
    assert sorted(desk.files) == ["last", "one"]
    assert len(desk.containers.states) == 1


async def test_cells_without_ids_continue() -> None:
    desk = Desk()
    for _ in range(3):
        await desk.run(None, "again", keeps=False)
    assert said(desk) == ["again", "again", "again"]
    assert desk.containers.taken == 0
    assert desk.shown == []


async def test_running_all_again_goes_back_once() -> None:
    desk = Desk()
    await five(desk)
    await five(desk)
    assert desk.shown == ["Went back to before this cell; the work of 4 later cells is kept as branch b2."]
    assert said(desk) == [*WORDS]


async def test_a_cell_that_has_done_nothing_is_no_cell() -> None:
    desk = Desk()
    await desk.run("a", "one")
    for _ in range(3):
        await desk.run("b", "failed", works=False)
    assert desk.shown == []
    taken = desk.containers.taken
    await desk.run("b", "two")
    assert desk.containers.taken == taken, "nothing ran since the last point"
    assert [cell.words for cell in desk.branches.tree.cells()] == ["one", "two"]


async def test_what_is_lost_is_named_and_the_model_is_told() -> None:
    desk = Desk()
    await desk.run("a", "one")
    desk.containers.ended, desk.containers.lost = ["sleep 600"], ["frame", "x<y"]
    await desk.run("a", "two")
    assert desk.shown[1:] == [
        "Background processes ended: `sleep 600`; variables of Python and R are lost: `frame`, `x<y`."
    ]
    assert "variables of Python and R are lost: `frame`" in desk.told[-1]


async def test_a_failing_restore_changes_nothing() -> None:
    desk = Desk()
    await five(desk)
    desk.containers.fails["restore"] = SandboxError("The disk is full.")
    with pytest.raises(InvalidRequest, match=r"cannot go back: The disk is full\. Nothing has changed"):
        await desk.run("two", "TWO")
    assert said(desk) == [*WORDS]
    assert sorted(desk.files) == sorted((*WORDS, "last"))
    assert [branch.name for branch in desk.branches.tree.branches] == ["b1"]
    desk.containers.fails.clear()
    await desk.run("two", "TWO")
    assert said(desk) == ["one", "TWO"]


async def test_what_cannot_be_restored_is_said_once() -> None:
    desk = Desk()
    await five(desk)
    desk.containers.fails["restore"] = CapabilityMissing("The workspace is a volume.")
    for _ in range(3):
        await desk.run("two", "TWO")
    assert [text.split(".")[0] for text in desk.shown] == [
        "Running a cell again does not go back here: The workspace is a volume"
    ]
    assert said(desk) == [*WORDS, "TWO", "TWO", "TWO"]


async def test_without_room_for_the_later_work_it_stays() -> None:
    desk = Desk()
    await five(desk)
    desk.containers.fails["snapshot"] = SandboxError("No space is left.")
    with pytest.raises(InvalidRequest, match="the present state could not be kept, No space is left"):
        await desk.run("two", "TWO")
    assert said(desk) == [*WORDS]
    await desk.run("six", "six")
    await desk.run("seven", "seven")
    line = "Running a cell again does not go back here: No space is left. It continues from where"
    assert [text.startswith(line) for text in desk.shown] == [True], "it is said once"
    await desk.run("six", "SIX")
    assert said(desk)[-1] == "SIX"


@pytest.mark.parametrize("bare", [True, False])
async def test_without_snapshots_a_cell_continues(bare: bool) -> None:
    desk = Desk(bare=bare)
    desk.containers.fails["snapshot"] = CapabilityMissing("this sandbox has no checkpoints")
    await desk.run("a", "one")
    await desk.run("b", "two")
    assert desk.shown == [], "nobody misses it yet"
    await desk.run("a", "ONE")
    await desk.run("a", "ONE")
    assert len(desk.shown) == 1
    assert ("keeps no snapshots" if bare else "no checkpoints") in desk.shown[0]
    assert said(desk) == ["one", "two", "ONE", "ONE"]
    with pytest.raises(InvalidRequest, match=r"cannot go back: .* %rewind N --conversation goes back"):
        await desk.branches.rewind("2", desk.outputs)
    await desk.branches.rewind("2", desk.outputs, conversation_only=True)
    assert said(desk) == ["one"]
    assert desk.files["last"] == "ONE"


@pytest.mark.parametrize("fails", [False, True])
async def test_an_interrupt_leaves_one_state_or_the_other(fails: bool) -> None:
    desk = Desk()
    await five(desk)
    desk.containers.held = asyncio.Event()
    running = asyncio.create_task(desk.run("two", "TWO"))
    await desk.containers.reached.wait()
    running.cancel()
    await asyncio.sleep(0)
    if fails:
        desk.containers.fails["restore"] = SandboxError("It broke.")
    desk.containers.held.set()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert running.cancelled()
    assert said(desk) == ([*WORDS] if fails else ["one"])
    assert len(desk.files) == (6 if fails else 2)
    assert len(desk.branches.tree.branches) == (1 if fails else 2)


async def test_a_new_container_begins_anew() -> None:
    desk = Desk()
    await five(desk)
    await desk.run("three", "three")
    await desk.container.renew({}, desk.outputs)
    await desk.run("two", "TWO")
    assert len(desk.shown) == 1, "only the first line, about cell three"
    assert said(desk) == ["one", "two", "three", "TWO"]
    with pytest.raises(InvalidRequest, match="b2 was removed: the container was replaced"):
        await desk.branches.switch("b2", desk.outputs)
    with pytest.raises(InvalidRequest, match="the container was replaced"):
        await desk.branches.rewind("1", desk.outputs)
    await desk.run("two", "two")
    assert said(desk)[-2:] == ["three", "two"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"max_points": 3}, "at most 3 points are kept"),
        ({"max_points_size": 3 * SIZE}, "3,000 bytes in all"),
        ({"points_days": 0.0}, "points are kept for 0 days"),
    ],
)
async def test_the_oldest_points_go_first(settings: dict[str, float], why: str) -> None:
    desk = Desk(KernelSettings(**settings))
    await five(desk)
    kept = 1 if "points_days" in settings else 3
    assert len(desk.containers.kept) == kept
    with pytest.raises(InvalidRequest, match=f"cannot go back: .*{why}.* nothing was run"):
        await desk.run("one", "ONE")
    assert said(desk) == [*WORDS]
    if kept > 1:
        await desk.run("five", "FIVE")
        assert said(desk) == [*WORDS[:4], "FIVE"]
        assert len(desk.containers.kept) == kept
        for number in range(6):
            await desk.run(f"x{number}", f"x{number}")
        with pytest.raises(InvalidRequest, match=f"Branch b2 was removed: .*{why}"):
            await desk.branches.switch("b2", desk.outputs)


async def test_a_snapshot_that_the_runtime_removed() -> None:
    desk = Desk()
    await five(desk)
    desk.containers.kept.clear()
    with pytest.raises(InvalidRequest, match="the runtime has removed its snapshot"):
        await desk.run("two", "TWO")
    assert said(desk) == [*WORDS]


async def test_branches_are_named_and_deleted() -> None:
    desk = Desk()
    await five(desk)
    await desk.run("four", "FOUR")
    branches = desk.branches
    branches.rename("b2", "first")
    branches.rename("b1", "second")
    for old, new in (("second", "first"), ("first", "a b"), ("nothing", "x"), ("first", "")):
        with pytest.raises(InvalidRequest):
            branches.rename(old, new)
    assert branch_rows(branches.tree) == [
        ["second", "4", "[6] FOUR", "in use"],
        ["first", "5", "[5] five", ""],
    ]
    kept = len(desk.containers.kept)
    with pytest.raises(InvalidRequest, match="in use"):
        await branches.delete("second")
    await branches.delete("first")
    assert len(desk.containers.kept) == kept - 2, "its tip, and the point before its last cell"
    with pytest.raises(InvalidRequest, match="There is no branch first"):
        await branches.switch("first", desk.outputs)
    assert [cell.words for cell in branches.tree.cells()] == ["one", "two", "three", "FOUR"]


async def test_rewind_reaches_cells_of_every_branch() -> None:
    desk = Desk()
    await five(desk)
    await desk.run("two", "TWO")
    await desk.branches.rewind("4", desk.outputs)
    assert desk.shown[1:] == ["Went back to before cell [4]. This is branch b3."]
    assert said(desk) == [*WORDS[:3]]
    await desk.branches.rewind("", desk.outputs)
    assert said(desk) == [*WORDS[:2]]
    assert desk.shown[2:] == ["Went back to before cell [3]; the work of 1 cell is kept as branch b4."]
    with pytest.raises(InvalidRequest, match="No cell 17 has run here"):
        await desk.branches.rewind("17", desk.outputs)
    drawn = [
        (row[0].replace("\N{NO-BREAK SPACE}", " "), row[3], row[6]) for row in rows(desk.branches.tree, [])
    ]
    assert drawn == [
        ("●", "one", ""),
        ("●   │", "two", "b3 (in use)"),
        ("  ○ │", "three", "b4"),
        ("  ○ │", "four", ""),
        ("  ○ │", "five", "b2"),
        ("    ○", "TWO", "b1"),
    ]


async def test_history_says_which_cells_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.kernel.branches.drawing.MOST_ROWS", 3)
    desk = Desk()
    await five(desk)
    assert len(rows(desk.branches.tree, [])) == 3
    assert caption(desk.branches.tree) == "This is branch b1. The newest 3 of 5 cells are shown."
