"""Files that a page drops: sent in pieces over the comm, also while a turn runs, and mentioned afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from agent_kernel.kernel.panel.held.incoming import MOST_INCOMING
from agent_kernel.kernel.panel.messages import LARGEST_BUFFER
from tests.kernel.client import Notebook
from tests.kernel.panel.page import Page
from tests.kernel.panel.test_panel import refused

pytestmark = pytest.mark.bubblewrap


def drop(page: Page, name: str, content: bytes, upload: str = "u") -> dict[str, Any]:
    """Send a file in pieces; the answer to the last one."""
    answer = page.result("upload", {"upload": upload, "name": name, "size": len(content)})
    for offset in range(0, len(content), LARGEST_BUFFER):
        piece = content[offset : offset + LARGEST_BUFFER]
        answer = page.result("chunk", {"upload": upload, "offset": offset}, [piece])
    return answer


def listed(page: Page) -> dict[str, int]:
    return {each["path"]: each["bytes"] for each in page.result("files")["files"]}


def test_dropped_table_is_described_and_mentioned(page: Page, kernel: Notebook) -> None:
    answer = drop(page, "people.csv", b"name,age\nAda,36\nBob,41\n")
    assert (answer["path"], answer["bytes"]) == ("people.csv", 23)
    assert "2 rows" in answer["shown"]
    result = kernel.run("@people.csv what is in people.csv")
    assert "It has **3 lines**." in result.plain[-1]
    assert not any("Uploaded" in each for each in result.plain)


def test_large_file_arrives_whole_while_a_turn_runs(page: Page, kernel: Notebook) -> None:
    sent = kernel.send("wait for ever", cell_id="cell-1")
    page.state(lambda state: state["cell"] is not None and state["container"]["id"] is not None)
    content = bytes(range(256)) * (10 * LARGEST_BUFFER // 256) + b"end"
    assert drop(page, "large.bin", content)["bytes"] == len(content)
    assert listed(page)["large.bin"] == len(content)
    page.result("stop")
    assert kernel.reply(sent)["status"] == "error"
    assert "large.bin" in kernel.run("!sha256sum large.bin; tail -c 3 large.bin").plain[-1]


def test_empty_file_and_folder_arrive(page: Page) -> None:
    assert drop(page, "empty/here.txt", b"")["bytes"] == 0
    assert listed(page)["empty/here.txt"] == 0


def test_name_of_another_file_gets_a_number(page: Page, kernel: Notebook) -> None:
    (kernel.folder / "local.txt").write_text("mine")
    assert drop(page, "twice.txt", b"1")["path"] == "twice.txt"
    assert drop(page, "twice.txt", b"22")["path"] == "twice-2.txt"
    assert drop(page, "local.txt", b"other")["path"] == "local-2.txt"


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../up", "a/../b", "a//b", "./a", "a\nb", 'a"b', "a\0b", "x" * 2000, 5, None]
)
def test_hostile_name_is_refused(page: Page, name: object) -> None:
    before = listed(page)
    assert refused(page.ask("upload", {"upload": "u", "name": name, "size": 1}))
    assert listed(page) == before


@pytest.mark.parametrize("size", [-1, 1.5, True, "1", None, 2**60, 2**40])
def test_impossible_size_is_refused(page: Page, size: object) -> None:
    assert refused(page.ask("upload", {"upload": "u", "name": "a.txt", "size": size}))


def test_wrong_pieces_end_the_upload(page: Page) -> None:
    for offset, piece in ((1, b"a"), (0, b""), (0, b"too long"), ("0", b"a")):
        page.result("upload", {"upload": "u", "name": "wrong.txt", "size": 3})
        assert refused(page.ask("chunk", {"upload": "u", "offset": offset}, [piece]))
        page.result("cancel", {"upload": "u"})
    assert "ended" in refused(page.ask("chunk", {"upload": "u", "offset": 0}, [b"a"]))
    assert "wrong.txt" not in listed(page)


def test_uploads_of_a_closed_page_leave_nothing(page: Page, kernel: Notebook) -> None:
    gone = Page(kernel)
    for number in range(MOST_INCOMING):
        gone.result("upload", {"upload": f"{number}", "name": f"gone-{number}.txt", "size": 3})
        gone.result("chunk", {"upload": f"{number}", "offset": 0}, [b"a"])
    assert "Too many" in refused(page.ask("upload", {"upload": "u", "name": "more.txt", "size": 3}))
    gone.close()
    assert drop(page, "more.txt", b"123")["bytes"] == 3
    assert [name for name in listed(page) if name.startswith("gone")] == []


def test_rows_of_a_text_table_come_in_pieces(page: Page) -> None:
    lines = "".join(f"{n},{'x' * 150},\n" for n in range(12_000))
    drop(page, "wide.csv", f"number,text,nothing\n{lines}".encode())
    rows: list[list[str]] = []
    answer: dict[str, Any] = {"next": 0}
    while answer["next"] is not None:
        answer = page.result("rows", {"path": "wide.csv", "offset": answer["next"]})
        assert answer["rows"]
        rows += answer["rows"]
    assert answer["columns"] == ["number", "text", "nothing"]
    assert (answer["count"], answer["width"], answer["whole"]) == (12_000, 3, True)
    assert [row[0] for row in rows] == [str(n) for n in range(12_000)]


def test_rows_of_other_files_are_refused(page: Page) -> None:
    drop(page, "picture.png", b"x")
    drop(page, "empty.csv", b"")
    assert "not shown as a table" in refused(page.ask("rows", {"path": "picture.png", "offset": 0}))
    assert "not shown as a table" in refused(page.ask("rows", {"path": "empty.csv", "offset": 0}))
    assert "not in the container" in refused(page.ask("rows", {"path": "../etc/passwd", "offset": 0}))
    assert refused(page.ask("rows", {"path": "empty.csv", "offset": -1}))
