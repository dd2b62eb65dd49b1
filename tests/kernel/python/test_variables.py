"""What the user sees of the Python session's variables, and the tables that go in and out."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from tests.kernel.client import Notebook
from tests.kernel.magics.asked import asked
from tests.kernel.upstream import Played

pytestmark = pytest.mark.bubblewrap

FRAME = (
    "%%python\nimport pandas as pd\nsales = pd.DataFrame({'city': ['Köln', '<b>x</b>'], 'sum': [1.5, None]})"
)


def completed(notebook: Notebook, code: str) -> dict[str, Any]:
    return notebook.reply(notebook.client.complete(code))


@pytest.fixture(scope="module")
def session(shared: Notebook) -> Notebook:
    """The shared kernel, with a Python session that has variables."""
    assert shared.run("%python restart").reply["status"] == "ok"
    assert shared.run(FRAME).reply["status"] == "ok"
    return shared


def test_variables_are_a_table(session: Notebook) -> None:
    data = session.run("%vars").final[0]["data"]
    caption, header, *rows = data["text/plain"].split("\n")
    assert header.split() == ["name", "type", "shape", "memory", "value"]
    assert [row.split()[:5] for row in rows] == [["sales", "DataFrame", "2", "×", "2"]]
    assert ">DataFrame</td>" in data["text/html"]
    assert caption.startswith("Not listed: 1 module")


def test_names_of_variables_complete(session: Notebook) -> None:
    assert "sales" in completed(session, "%get sa")["matches"]


def test_a_hostile_value_is_only_text(session: Notebook) -> None:
    session.run("%%python\nevil = '<img src=x onerror=alert(1)>\\x1b]0;title\\x07'")
    html = session.run("%vars").final[0]["data"]["text/html"]
    assert "&lt;img src=x" in html
    assert "<img" not in html
    assert "\x1b" not in html
    session.run("%%python\ndel evil")


def test_a_frame_is_shown_with_its_columns(session: Notebook) -> None:
    shown = session.run("%get sales").final
    data = shown[0]["data"]
    assert data["text/plain"].startswith("`sales` (DataFrame): 2 rows × 2 columns\n")
    assert "1 missing" in data["text/plain"]
    assert "&lt;b&gt;x&lt;/b&gt;" in data["text/html"]
    assert "the first 1 rows" in session.run("%get sales --head 1").plain[0]


def test_a_name_that_is_a_file_too_says_which(session: Notebook) -> None:
    session.run("!!echo 1 > /mnt/data/sales.csv")
    assert session.run("%get sales").plain[1].startswith("This is the variable; `%download` copies")
    session.run("!!mv /mnt/data/sales.csv /mnt/data/other.csv")
    result = session.run("%get other")
    assert result.error.endswith("There is a file of that name: %download other.csv")
    assert "has no variable other" in result.error
    session.run("!!rm /mnt/data/other.csv")


def test_a_frame_is_saved_as_csv(session: Notebook) -> None:
    path = session.folder / "out.csv"
    path.unlink(missing_ok=True)
    assert session.run("%get sales --csv out.csv").plain[0].startswith("Wrote `out.csv` (2 rows, ")
    assert list(csv.reader(path.read_text(encoding="utf-8").splitlines())) == [
        ["city", "sum"],
        ["Köln", "1.5"],
        ["<b>x</b>", ""],
    ]
    again = session.run("%get sales --csv out.csv")
    assert "out.csv already exists" in again.error
    assert session.run("%get sales --csv out.csv --force").reply["status"] == "ok"
    assert "is not a table: its type is module" in session.run("%get pd --csv no.csv").error
    assert not (session.folder / "no.csv").exists()
    path.unlink()  # later tests share the folder
    assert "agent-kernel" not in session.run("!!ls -a /mnt/data").final[0]["text"]


@pytest.mark.parametrize(
    ("name", "content", "check"),
    [
        ("a.csv", "x;y\n1;2,5\n", "list(a.columns) == ['x', 'y']"),
        ("old.csv", "caf\xe9,n\nni\xe7oise,1\n".encode("cp1252"), "old.columns[0] == 'caf\xe9'"),
        ("b.json", '{"k": [1]}', "b == {'k': [1]}"),
        ("c.jsonl", '{"k": 1}\n{"k": 2}\n', "len(c) == 2"),
        ("d.txt", "plain\n", "d == 'plain\\n'"),
        ("9 e-f.bin", b"\x00\xff", "_9_e_f == b'\\x00\\xff'"),
    ],
)
def test_a_file_becomes_a_variable(session: Notebook, name: str, content: str | bytes, check: str) -> None:
    path = session.folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert session.run(f"%put '{name}'").reply["status"] == "ok"
    assert session.run(f"%%python\nassert {check}").reply["status"] == "ok"


def test_bad_names_are_told_before_anything_is_sent(session: Notebook) -> None:
    (session.folder / "ok.txt").write_text("x")
    assert "'a-b' is not the name of a variable." in session.run("%put ok.txt a-b").error
    assert "'class' is not the name" in session.run("%put ok.txt class").error
    assert "ok.txt" not in session.run("!!ls /mnt/data").final[0]["text"]


def test_without_a_session_nothing_is_started(fresh: Notebook) -> None:
    assert "There is no Python session yet" in fresh.run("%vars").error
    assert "There is no Python session yet" in fresh.run("%get x").error
    assert "There is no Python session yet" in fresh.run("%get x --csv x.csv").error
    assert fresh.run("%python restart").plain[0].startswith("There is no Python session.")
    assert completed(fresh, "%%python\npri")["matches"] == []


def test_the_model_is_told_what_was_put_and_restarted(talking: Notebook, upstream: Played) -> None:
    (talking.folder / "t.csv").write_text("n\n41\n")
    talking.run("%put t.csv table")
    talking.run("%vars")
    told = asked(talking, upstream, "%python restart\nlook")
    assert "table = pd.read_csv('/mnt/data/t.csv')" in told
    assert "The user restarted the Python session" in told
    assert "Not listed" not in told
