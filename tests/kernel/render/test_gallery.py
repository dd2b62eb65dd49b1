"""What a turn made, shown by a real kernel from a real sandbox."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.client import Notebook

pytestmark = pytest.mark.bubblewrap

TABLES = Path(__file__).parent / "tables"


@pytest.fixture
def kept(shared: Notebook) -> Notebook:
    """The shared kernel, with the tables in its folder."""
    shutil.copytree(TABLES, shared.folder / "tables", dirs_exist_ok=True)
    return shared


def made(notebook: Notebook, command: str) -> list[dict[str, Any]]:
    """What is shown after a command's own call and output."""
    return [output["data"] for output in notebook.run(f"!{command}").final[2:]]


def plain(notebook: Notebook, command: str) -> list[str]:
    return [data["text/plain"] for data in made(notebook, command)]


def test_pictures_of_all_kinds(kept: Notebook) -> None:
    command = (
        r"mkdir kinds; cd kinds; printf '\211PNG\r\n\032\nx' > a.png; printf '\377\330\377x' > b.JPG; printf "
        r"GIF89ax > c.gif; printf 'RIFF1234WEBPx' > d.webp; printf '<svg onload=alert(1)/>' > e.svg; cd .."
    )
    shown = made(kept, command)
    assert [next(iter(data)) for data in shown] == ["image/png", "image/jpeg", *["text/html"] * 3]
    for data, mime in zip(shown[2:], ("image/gif", "image/webp", "image/svg+xml"), strict=True):
        assert data["text/html"].startswith(f'<img src="data:{mime};base64,')
        assert "onload" not in data["text/html"]
    assert shown[4]["text/plain"] == "[picture: kinds/e.svg]"


def test_what_is_no_picture_is_named(kept: Notebook) -> None:
    assert plain(kept, "echo '<script>alert(1)</script>' | tee no.png no.svg no.webp no.gif >no.jpg") == [
        "Wrote `no.gif` (26 bytes), `no.jpg` (26 bytes), `no.png` (26 bytes), `no.svg` (26 bytes), "
        "`no.webp` (26 bytes); `%download NAME` fetches a file."
    ]


def test_tables_with_types_and_missing_values(kept: Notebook) -> None:
    [csv, json, lines] = plain(
        kept,
        r"""printf 'name,age\nAda,36\nBob,\n' > t1.csv; echo '[{"a": 1}, {"a": null}]' > t2.json; """
        r"""printf '{"b": true}\n' > t3.jsonl""",
    )
    assert csv.split("\n") == [
        "`t1.csv`: 2 rows × 2 columns, 21 bytes",
        "name             age",
        "text  int, 1 missing",
        "Ada               36",
        "Bob",
    ]
    assert json.startswith("`t2.json`: 2 rows × 1 column, 24 bytes\n")
    assert "int, 1 missing" in json
    assert "bool" in lines


def test_tables_that_are_read_inside_the_container(kept: Notebook) -> None:
    kept.run("%upload tables/people.xlsx\n%upload tables/people.parquet")
    [parquet, excel] = plain(kept, 'mkdir t; cp people.parquet "t/it\'s.parquet"; cp people.xlsx t/p.xlsx')
    assert parquet.split("\n")[0] == "`t/it's.parquet`: 7 rows × 10 columns, 4.0 kB; the first 5 rows"
    assert "text, 1 missing" in parquet
    assert "Cy <b>" in parquet
    assert excel.split("\n")[0] == (
        "`t/p.xlsx`: 7 rows × 7 columns, 5.7 kB; the first of 2 sheets (`People`, `Other`); the first 5 rows"
    )
    assert "Cy <b>" in excel


def test_of_a_large_parquet_file_only_shown_rows_are_read(kept: Notebook) -> None:
    zeros = "{'a': numpy.zeros(30_000_000, 'int8')}"
    made = f"import numpy, pandas; pandas.DataFrame({zeros}).to_parquet('b.parquet')"
    [shown] = plain(kept, f'python3 -c "{made}"')
    first = shown.split("\n")[0]
    assert first.startswith("`b.parquet`: 30,000,000 rows × 1 column")
    assert first.endswith("the first 5 rows")


def test_arrow_values_are_shown_as_they_are(kept: Notebook) -> None:
    made = (
        "import pyarrow as pa; from pyarrow import feather, parquet; from datetime import time; "
        "t = pa.table({'n': pa.array([1, None, 2**53 + 1]), "
        "'s': pa.array(['x', None, 'y']).dictionary_encode(), "
        "'t': pa.array([time(8, 30), None, time(23, 59, 59, 600000)]), 'l': [[1], None, [2, 3]]}); "
        "parquet.write_table(t, 'v.parquet'); feather.write_feather(t, 'v.feather'); "
        "feather.write_feather(t, 'v.arrow', compression='zstd')"
    )
    shown = plain(kept, f'python3 -c "{made}"')
    assert len(shown) == 3
    for text in shown:
        lines = [line.split() for line in text.split("\n")]
        assert lines[1] == ["n", "s", "t", "l"]
        assert lines[3] == ["1", "x", "08:30:00", "[1]"]
        assert lines[5] == ["9007199254740993", "y", "23:59:59.6", "[2,", "3]"]
        assert text.count("1 missing") >= 3


def test_looking_into_a_table_is_no_part_of_the_conversation(kept: Notebook) -> None:
    kept.run("%upload tables/people.xlsx")
    kept.run("!cp people.xlsx again.xlsx; MARK=kept")
    assert kept.run("!echo $MARK; jobs").plain[1] == "kept"


def test_a_table_that_cannot_be_read_is_named(kept: Notebook) -> None:
    assert plain(kept, "echo none > bad.xlsx; echo none > bad.parquet") == [
        "Wrote `bad.parquet` (5 bytes, no table shown: it is damaged or of another kind), "
        "`bad.xlsx` (5 bytes, no table shown: it is damaged or of another kind); "
        "`%download NAME` fetches a file."
    ]


def test_a_page_stands_in_a_frame(kept: Notebook) -> None:
    [page] = made(kept, """echo '<b id="x">&amp;</b><link><script>1</script>' > page.html""")
    assert page["text/plain"] == "[page: page.html, 44 bytes]"
    assert "its scripts do not run here" in page["text/html"]
    assert page["text/html"].count("<iframe sandbox ") == 2
    assert "<b id=&amp;quot;x&amp;quot;>&amp;amp;amp;</b><no-link>" in page["text/html"]


def test_only_so_much_is_shown_and_the_rest_is_counted(kept: Notebook) -> None:
    command = "mkdir many; for n in $(seq 10 29); do echo 'a,b' > many/$n.csv; echo x > many/$n.txt; done"
    shown = plain(kept, f"{command}; mkdir many/.cache; touch many/.cache/1.csv many/.cache/2.png")
    assert len(shown) == 12 + 2
    assert shown[0].startswith("`many/10.csv`")
    assert shown[12].count("bytes)") == 12
    assert shown[13] == "…and 18 more files; `%files` lists them."


def test_a_large_picture_is_named(kept: Notebook) -> None:
    command = r"printf '\211PNG\r\n\032\n' > large.png; head -c 5000000 /dev/zero >> large.png"
    assert plain(kept, command) == ["Wrote `large.png` (5.0 MB); `%download NAME` fetches a file."]


def test_a_turn_takes_only_so_many_bytes(kept: Notebook) -> None:
    command = r"for n in 1 2 3; do (printf '\211PNG\r\n\032\n'; head -c 3000000 /dev/zero) > big$n.png; done"
    assert plain(kept, command) == [
        "[picture: big1.png]",
        "[picture: big2.png]",
        "Wrote `big3.png` (3.0 MB); `%download NAME` fetches a file.",
    ]


def test_of_a_large_table_the_beginning_is_looked_at(kept: Notebook) -> None:
    [shown] = plain(kept, "(echo a,b; seq -f '%.0f,x' 1 700000) > large.csv")
    first = shown.split("\n")[0]
    assert first.startswith("`large.csv`: more than ")
    assert "; the first 5 rows, types and missing values of the first " in first


def test_installed_packages_are_only_counted(kept: Notebook) -> None:
    made = "mkdir -p w/env/bin w/env/lib/python3/site-packages/p w/a/node_modules/b w/lib; cd w; "
    files = "env/bin/activate env/lib/python3/site-packages/p/t.csv a/node_modules/b/c.png env/pyvenv.cfg"
    assert plain(kept, f"{made} for f in {files} lib/own.txt; do echo a,b > $f; done; cd ..") == [
        "Wrote `w/lib/own.txt` (4 bytes); `%download NAME` fetches a file.",
        "…and 4 more files; `%files` lists them.",
    ]
