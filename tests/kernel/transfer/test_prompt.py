"""What a model gets of mentioned files besides their path: pictures, and the first rows of a text file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.kernel.transfer import prompt as prompts
from agent_kernel.kernel.transfer.host_files import look
from agent_kernel.kernel.transfer.mentions import heads
from agent_kernel.kernel.transfer.prompt import PromptPicture, head, picture
from agent_kernel.kernel.transfer.uploaded import PendingUpload
from tests.kernel.client import Notebook
from tests.kernel.magics.asked import asked
from tests.kernel.upstream import Played

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC"
)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "my file.csv", "a b/c.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x,y\n1,2\n3,4\n5,6\n")
    return tmp_path


def upload(path: Path) -> PendingUpload:
    file = look(path)
    assert file is not None
    return PendingUpload(file, path.name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What is in @a.csv --head 2?", None),
        ("What is in @a.csv --head 2 ?", {"a.csv": 2}),
        ("@a.csv --head=7 and @my file.csv --head 3", {"a.csv": 7, "my file.csv": 3}),
        ('@"my file.csv" --head 1\n@a.csv', {"my file.csv": 1}),
        ("@my\\ file.csv --head 4", {"my file.csv": 4}),
        ("@a b/c.csv  --head 9", {"a b/c.csv": 9}),
        ("@a.csv, and run it with --head 5", {}),
        ("@a.csv\n--head 5", {}),
        ("`@a.csv --head 5`", {}),
        ("git log --head 5", {}),
    ],
)
def test_rows_are_asked_right_behind_a_mention(folder: Path, text: str, found: dict[str, int] | None) -> None:
    if found is None:
        with pytest.raises(InvalidRequest, match=r"--head 2\? is not a number of rows"):
            heads(text)
    else:
        assert {str(path): rows for path, rows in heads(text).items()} == found


@pytest.mark.parametrize("rows", ["0", "-1", "1001", "many", "5.5", "²", "9" * 5000])
def test_wrong_number_of_rows_is_refused(folder: Path, rows: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a number of rows from 1 to 1,000"):
        heads(f"@a.csv --head {rows}")


def test_folder_has_no_first_rows(folder: Path) -> None:
    with pytest.raises(InvalidRequest, match="it is a folder"):
        heads("@'a b' --head 3")


async def test_first_rows_follow_the_header(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = upload(folder / "a.csv")
    two = "The first line and 2 rows of /mnt/data/a.csv (the file has more):\n```text\nx,y\n1,2\n3,4\n```"
    assert await head(table, 2) == two
    assert (await head(table, 3)).startswith("The first line and 3 rows of /mnt/data/a.csv (all of it):\n")
    monkeypatch.setattr(prompts, "MOST_CHARACTERS", 9)
    assert "and 1 row of /mnt/data/a.csv (the file has more, cut at 9 characters)" in await head(table, 3)
    monkeypatch.setattr(prompts, "_READ", 10)
    assert "x,y\n1,2\n```" in await head(table, 3)  # not half of a row


async def test_first_rows_are_decoded_and_fenced(folder: Path) -> None:
    (folder / "b.csv").write_bytes("Stadt;Höhe\n```;1\x1b[31m\n".encode("latin-1"))
    text = await head(upload(folder / "b.csv"), 5)
    assert text.endswith("````text\nStadt;Höhe\n```;1\n````")
    (folder / "c.xlsx").write_bytes(b"PK\x03\x04\0\0")
    with pytest.raises(InvalidRequest, match="the file is not text"):
        await head(upload(folder / "c.xlsx"), 5)


async def test_only_real_pictures_of_bounded_size_are_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "plot.png").write_bytes(PNG)
    assert await picture(upload(folder / "plot.png")) == PromptPicture("plot.png", URL)
    for name, content in (("no.png", b"text"), ("a.svg", b"<svg/>"), ("x.txt", PNG)):
        (folder / name).write_bytes(content)
        assert await picture(upload(folder / name)) is None
    monkeypatch.setattr(prompts, "MOST_PICTURE", 10)
    said = "`plot.png` is not shown to the model: it has 75 bytes, the limit is 10 bytes. "
    assert await picture(upload(folder / "plot.png")) == f"{said}It is in the container."


def sent(upstream: Played) -> Any:
    """Return the last message that the model got."""
    return upstream.requests[-1]["messages"][-1]["content"]


@pytest.mark.bubblewrap
def test_picture_is_shown_to_a_model_that_can_see(talking: Notebook, upstream: Played) -> None:
    (talking.folder / "plot.png").write_bytes(PNG)
    upstream.capabilities = ["completion", "tools", "vision"]
    for _ in range(2):  # also when the container has it already
        assert talking.run("What does @plot.png show?").reply["status"] == "ok"
        text, image = sent(upstream)
        assert text == {"type": "text", "text": "What does @plot.png show?"}
        assert image["image_url"]["url"] == URL


@pytest.mark.bubblewrap
def test_model_that_cannot_see_gets_the_path_alone(talking: Notebook, upstream: Played) -> None:
    (talking.folder / "plot.png").write_bytes(PNG)
    upstream.capabilities = ["completion", "tools"]
    shown = talking.run("What does @plot.png show?").plain
    words = "This model cannot see pictures: it gets the path of `plot.png`, not the content."
    assert words in shown
    assert sent(upstream) == "What does @plot.png show?"


@pytest.mark.bubblewrap
def test_first_rows_are_added_to_the_prompt(talking: Notebook, upstream: Played) -> None:
    (talking.folder / "sales.csv").write_text("day,total\n1,5\n2,6\n3,7\n")
    told = asked(talking, upstream, "What is in @sales.csv --head 2 ?")
    assert "The first line and 2 rows of /mnt/data/sales.csv (the file has more):" in told
    assert "day,total\n1,5\n2,6\n```" in told
    assert "3,7" not in told
    before = len(upstream.requests)
    assert "--head x is not a number of rows" in talking.run("@sales.csv --head x").error
    assert len(upstream.requests) == before
