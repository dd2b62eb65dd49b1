from __future__ import annotations

import pytest

from agent_kernel.kernel.cells import Cell, MagicLine, ShellLine, parse


@pytest.mark.parametrize(
    ("source", "cell"),
    [
        ("What is it?", Cell((), "What is it?")),
        ("", Cell((), "")),
        ("\n \n", Cell((), "")),
        ("%files", Cell((MagicLine("files", ""),), "")),
        (
            "%upload a.csv 'b c.csv'\n\n%model x\nLook.\n%files",
            Cell((MagicLine("upload", "a.csv 'b c.csv'"), MagicLine("model", "x")), "Look.\n%files"),
        ),
        ("!ls -l\nand then?", Cell((ShellLine("ls -l"),), "and then?")),
        ("!echo a \\\n  b\nask", Cell((ShellLine("echo a \\\n  b"),), "ask")),
        ("!echo a \\", Cell((ShellLine("echo a \\"),), "")),
        ("% of missing values?", Cell((), "% of missing values?")),
        ("%50 is half", Cell((), "%50 is half")),
        ("!", Cell((), "!")),
        ("%%bash\nls\n\n!x\n", Cell((MagicLine("%bash", "\nls\n\n!x"),), "")),
        ("!!ls\n%%bash --private\n\n", Cell((ShellLine("ls", True), MagicLine("%bash", "--private")), "")),
        ("%upload?\nand", Cell((MagicLine("upload", "", asks=True),), "and")),
        ("%upload ?", Cell((MagicLine("upload", "", asks=True),), "")),
        ("!!", Cell((), "!!")),
        ("  %help  upload ", Cell((MagicLine("help", "upload"),), "")),
    ],
)
def test_a_cell_taken_apart(source: str, cell: Cell) -> None:
    assert parse(source) == cell
