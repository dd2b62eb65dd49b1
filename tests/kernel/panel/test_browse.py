"""What the files panel asks of the kernel: folders, contents in pieces, new names, removal."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from agent_kernel.kernel.panel.browse import PAGE
from agent_kernel.kernel.panel.held import by_pages
from agent_kernel.kernel.panel.held.listing import spelled
from agent_kernel.kernel.panel.held.outgoing import MOST_OUTGOING
from agent_kernel.kernel.panel.messages import LARGEST_BUFFER
from tests.kernel.client import Notebook
from tests.kernel.panel.page import Page
from tests.kernel.panel.test_panel import refused

pytestmark = pytest.mark.bubblewrap


@pytest.fixture(autouse=True)
def _empty(kernel: Notebook) -> None:
    shell(kernel, "rm -rf /mnt/data/* /mnt/data/.[!.]*")


def shell(kernel: Notebook, command: str) -> None:
    result = kernel.run(f"!{command}")
    assert result.reply["status"] == "ok", result.reply


def names(page: Page, path: str = "", **more: Any) -> list[str]:
    return [each["path"] for each in page.result("folder", {"path": path, **more})["entries"]]


def content(page: Page, path: str, name: str = "d") -> bytes:
    """Read a file in pieces."""
    answer, buffers = page.with_buffers("download", {"download": name, "path": path})
    found = [*buffers]
    while not answer["end"]:
        answer, buffers = page.with_buffers("piece", {"download": name})
        found += buffers
    return b"".join(found)


def test_folder_lists_folders_first_and_marks_what_a_turn_wrote(page: Page, kernel: Notebook) -> None:
    shell(kernel, "mkdir -p out/deep; echo 12 > out/deep/b.txt; echo 1 > out/a.txt; echo 1 > old.txt")
    shell(kernel, "echo 345 > new.txt; echo 6 >> out/deep/b.txt")
    shown = page.result("folder")
    assert [(each["path"], each["bytes"], each["changed"]) for each in shown["entries"]] == [
        ("out", 7, True),
        ("new.txt", 4, True),
        ("old.txt", 2, False),
    ]
    assert (shown["container"], shown["count"], shown["complete"]) == (True, 3, True)
    assert shown["entries"][0]["files"] == 2
    assert names(page, "out") == ["out/deep", "out/a.txt"]
    assert names(page, changed=True) == ["new.txt", "out/deep/b.txt"]
    assert "not in the container" in refused(page.ask("folder", {"path": "none"}))


def test_many_files_come_in_pages(page: Page, kernel: Notebook) -> None:
    shell(kernel, f"mkdir many; cd many; seq -w 1 {PAGE + 7} | xargs touch")
    shell(kernel, "cd /mnt/data")
    first = page.result("folder", {"path": "many"})
    assert (len(first["entries"]), first["count"]) == (PAGE, PAGE + 7)
    rest = names(page, "many", offset=PAGE)
    assert rest == [f"many/{number}" for number in range(PAGE + 1, PAGE + 8)]


def test_names_with_a_text_are_found_beyond_the_first_page(page: Page, kernel: Notebook) -> None:
    shell(kernel, f"seq -w 1 {PAGE + 7} | xargs touch; mkdir In; touch In/last-507 LAST")
    assert names(page, named="507") == [f"{PAGE + 7}"]
    assert names(page, named="last") == ["LAST"]
    assert names(page, "In", named="507") == ["In/last-507"]
    assert page.result("folder", {"named": "none"})["count"] == 0


def test_state_says_when_a_page_has_changed_the_files(page: Page, kernel: Notebook) -> None:
    shell(kernel, "echo 1 > one.txt")
    other = Page(kernel)
    seen = page.result("state")["files"]
    for name, arguments in (
        ("rename", {"path": "one.txt", "to": "two.txt"}),
        ("upload", {"upload": "u", "name": "three.txt", "size": 0}),
        ("uploaded", {"path": "folder", "files": 1}),
        ("delete", {"path": "two.txt"}),
    ):
        other.result(name, arguments)
        seen = changed_since(page, seen)
    assert names(page) == ["three.txt"]
    assert page.result("state")["files"] == seen
    other.close()


def changed_since(page: Page, before: int) -> int:
    changes: int = page.state(lambda state: bool(state["files"] > before))["files"]
    return changes


def test_large_file_is_read_in_pieces_while_a_turn_runs(page: Page, kernel: Notebook) -> None:
    shell(kernel, f"head -c {3 * LARGEST_BUFFER + 5} /dev/urandom > large.bin; : > empty.txt")
    digest = kernel.run("!sha256sum < large.bin").plain[-1]
    sent = kernel.send("wait for ever", cell_id="cell-1")
    page.state(lambda state: state["cell"] is not None and state["container"]["id"] is not None)
    read = content(page, "large.bin")
    assert len(read) == 3 * LARGEST_BUFFER + 5
    assert hashlib.sha256(read).hexdigest() in digest
    assert content(page, "empty.txt") == b""
    page.result("stop")
    assert kernel.reply(sent)["status"] == "error"


def test_file_gets_another_name_and_goes(page: Page, kernel: Notebook) -> None:
    shell(kernel, "mkdir a; echo 1 > a/one.txt; echo 2 > two.txt")
    assert page.result("rename", {"path": "a/one.txt", "to": "b/new name.txt"}) == {"path": "b/new name.txt"}
    assert content(page, "b/new name.txt") == b"1\n"
    assert names(page) == ["b", "two.txt"]
    assert "exists already" in refused(page.ask("rename", {"path": "two.txt", "to": "b/new name.txt"}))
    assert "exists already" in refused(page.ask("rename", {"path": "two.txt", "to": "b"}))
    assert refused(page.ask("rename", {"path": "two.txt", "to": "../up"}))
    assert "folder" in refused(page.ask("rename", {"path": "b", "to": "c"}))
    assert page.result("delete", {"path": "b"}) == {"removed": 1}
    assert page.result("delete", {"path": "two.txt"}) == {"removed": 1}
    assert "not in the container" in refused(page.ask("delete", {"path": "two.txt"}))
    assert names(page) == []


def test_saved_file_replaces_what_is_there(page: Page, kernel: Notebook) -> None:
    shell(kernel, "echo before > notes.md")
    page.result("upload", {"upload": "u", "name": "notes.md", "size": 3, "replace": True})
    assert page.result("chunk", {"upload": "u", "offset": 0}, [b"new"])["path"] == "notes.md"
    assert content(page, "notes.md") == b"new"
    assert page.result("stat", {"path": "notes.md"})["bytes"] == 3


def test_dropped_folder_keeps_its_tree_and_is_mentioned(page: Page, kernel: Notebook) -> None:
    (kernel.folder / "photos").mkdir()
    free = page.result("free", {"name": "photos"})["path"]
    assert free == "photos-2"
    for name in ("a.csv", "deep/b.txt"):
        page.result("upload", {"upload": "u", "name": f"{free}/{name}", "size": 1, "part": True})
        assert page.result("chunk", {"upload": "u", "offset": 0}, [b"1"])["shown"] == ""
    page.result("uploaded", {"path": free, "files": 2})
    assert page.result("free", {"name": "photos"})["path"] == "photos-3"
    assert names(page, "photos-2") == ["photos-2/deep", "photos-2/a.csv"]
    assert kernel.run("@photos-2/ say hello").reply["status"] == "ok"


HOSTILE = [
    "mkfifo pipe; ln -s /etc outside; ln -s /etc/passwd passwd; ln -s . loop",
    r"touch -- $'new\nline' $'safe\u202etxt.exe' $'bad\xff.txt' $'\e[31mred' '<img src=x>' '-rf'",
]


def test_hostile_files_are_shown_spelled_or_not_at_all(page: Page, kernel: Notebook) -> None:
    for command in HOSTILE:
        shell(kernel, command)
    shown = names(page)
    expected = [
        "new\nline",
        "safe\u202etxt.exe",
        "bad\ufffd.txt",
        "\x1b[31mred",
        "<img src=x>",
        "-rf",
    ]
    assert set(shown) == {spelled(each) for each in expected}
    assert all(each.isprintable() for each in shown)
    for path in shown:
        assert content(page, path) == b""
    for path in (
        "pipe",
        "outside",
        "passwd",
        "outside/passwd",
        "loop/-rf",
        "../../etc/passwd",
        "/etc/passwd",
    ):
        assert refused(page.ask("download", {"download": "d", "path": path}))
    assert page.result("delete", {"path": "bad\ufffd.txt"}) == {"removed": 1}
    assert len(names(page)) == len(expected) - 1


def test_file_that_vanishes_changes_or_grows_is_said(page: Page, kernel: Notebook) -> None:
    shell(kernel, f"head -c {5 * LARGEST_BUFFER} /dev/zero > shorter; cp shorter grows; touch gone linked")
    for name in ("shorter", "grows"):
        answer, _ = page.with_buffers("download", {"download": name, "path": name})
        assert answer["end"] is False
    shell(
        kernel,
        "rm gone linked; truncate -s 1 shorter; yes | head -c 9000000 >> grows; ln -s /etc/passwd linked",
    )
    assert "not in the container" in refused(page.ask("download", {"download": "d", "path": "gone"}))
    assert refused(page.ask("download", {"download": "d", "path": "linked"}))
    read = LARGEST_BUFFER
    while not answer["end"]:
        answer, buffers = page.with_buffers("piece", {"download": "grows"})
        read += len(buffers[0])
    assert read == 5 * LARGEST_BUFFER
    message = page.ask("piece", {"download": "shorter"})
    while "error" not in message:
        message = page.ask("piece", {"download": "shorter"})
    assert "became shorter" in refused(message)


def test_downloads_are_bounded_and_end_with_their_page(page: Page, kernel: Notebook) -> None:
    shell(kernel, f"head -c {2 * LARGEST_BUFFER} /dev/zero > large")
    other = Page(kernel)
    for number in range(MOST_OUTGOING):
        other.result("download", {"download": f"{number}", "path": "large"})
    assert "Too many downloads" in refused(page.ask("download", {"download": "d", "path": "large"}))
    other.result("end", {"download": "0"})
    assert "ended" in refused(other.ask("piece", {"download": "0"}))
    other.close()
    assert len(content(page, "large")) == 2 * LARGEST_BUFFER


async def test_what_a_page_leaves_alone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    class Thing:
        given_up = asyncio.Event()

        def cancel(self) -> None:
            self.given_up.set()

    monkeypatch.setattr(by_pages, "IDLE_SECONDS", 0.01)
    things = by_pages.HeldByPages[Thing]("things", 1)
    thing = things.add("page", "name", Thing())
    await asyncio.wait_for(thing.given_up.wait(), 60)
    assert list(things) == []


@pytest.mark.parametrize(
    ("request_name", "arguments"),
    [
        ("folder", {"path": 5}),
        ("folder", {"offset": -1}),
        ("folder", {"changed": "yes"}),
        ("folder", {"named": ["a"]}),
        ("folder", {"named": "x" * 2000}),
        ("folder", {"path": "x" * 30_000}),
        ("download", {"path": "a"}),
        ("download", {"download": "d"}),
        ("piece", {"download": "none"}),
        ("rename", {"path": "a"}),
        ("delete", {"path": ""}),
        ("stat", {"path": ["a"]}),
        ("free", {"name": "../up"}),
        ("uploaded", {"path": "a", "files": -1}),
    ],
)
def test_malformed_question_about_files_is_refused(
    page: Page, request_name: str, arguments: dict[str, Any]
) -> None:
    assert refused(page.ask(request_name, arguments))
