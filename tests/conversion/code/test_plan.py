"""Which steps an exported notebook keeps, how it is written, and what a comparison reports. Nothing runs."""

from __future__ import annotations

import ast
import json
from dataclasses import replace

import nbformat
import pytest

from agent_kernel.conversion.code.comparison import verified
from agent_kernel.conversion.code.looking import is_safe, only_looks
from agent_kernel.conversion.code.notebook import CodeExport, NamedInput, notebook, script
from agent_kernel.conversion.code.plan import plan
from agent_kernel.conversion.code.rerun import CodeRun
from agent_kernel.conversion.containers import WorkspaceFile
from agent_kernel.conversion.exchanges import exchanges
from tests.conversion.rows import answer, code, message, printed, shell, turn


@pytest.mark.parametrize(
    "command",
    ["ls", "ls -la /mnt", "cat a.csv | head -n 3", "pwd; df -h", "zcat 'a b.gz' | wc -l", 'grep -c x "a"'],
)
def test_plain_readers_only_look(command: str) -> None:
    assert only_looks(command)


@pytest.mark.parametrize(
    "command",
    [
        "ls > list.txt",
        "cat <<'EOF'\nx\nEOF",
        "cd data",
        "X=1 ls",
        "ls $(touch x)",
        "find . -delete",
        "ls && rm x",
        "tee x",
        "sort -o a a",
        "echo ${X:=1}",
        "uniq a b",
        "",
    ],
)
def test_commands_that_may_change_something_do_more_than_look(command: str) -> None:
    assert not only_looks(command)


@pytest.mark.parametrize(
    "command",
    [
        "ls() { rm x; }",
        "alias ls=rm",
        "function cat { :; }",
        "echo $?",
        "test ${PIPESTATUS[0]} = 0",
        "enable -f x",
    ],
)
def test_redefined_or_depended_on_programs_are_not_safe(command: str) -> None:
    assert not is_safe(["ls", command])


ROWS = [
    turn(
        1,
        [message("user", "Look.\nAt all of it.")],
        [
            shell("ls", "wc -l a.csv", "false", 'printf \'a\\n"""\\n\' > b.txt'),
            printed(("a.csv\n", "", 0), ("1234 a.csv\n", "", 0), ("", "", 1), ("", "", 0)),
            code("x = 1\nx", "1\n"),
            answer("It has 1,234 lines."),
        ],
    )
]


def test_looking_and_failing_are_left_out_but_quoted_figures_stay() -> None:
    found = plan(exchanges(ROWS))
    assert [each.step.code.split()[0] for each in found.kept] == ["wc", "printf", "x"]
    assert [(each.step.code, each.why) for each in found.left_out] == [
        ("ls", "only looked"),
        ("false", "failed: exit 1"),
    ]
    assert len(plan(exchanges(ROWS), failed=True).kept) == 4


def export() -> CodeExport:
    turns = exchanges(ROWS)
    return CodeExport(
        "a *title*", "Made.", turns, plan(turns, failed=True), [NamedInput("a.csv", 12, "f" * 64)]
    )


def test_notebook_is_valid_and_has_steps_inputs_and_outputs() -> None:
    runs = [
        CodeRun(({"output_type": "stream", "name": "stdout", "text": "1234 a.csv\n"},)),
        CodeRun(),
        CodeRun(),
        CodeRun(
            (
                {
                    "output_type": "execute_result",
                    "data": {"text/plain": "1"},
                    "metadata": {},
                    "transient": {},
                },
                {"output_type": "update_display_data", "data": {}, "metadata": {}},
            )
        ),
    ]
    text = notebook(export(), runs, ["## Verification", "All well."])
    read = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(read)
    sources = {cell["id"]: cell["source"] for cell in json.loads(text)["cells"]}
    assert "f" * 64 in sources["inputs"]
    assert sources["step-2"] == "%%bash --no-raise-error\nfalse"
    assert sources["turn-1"] == "## 1.\n\nLook.\nAt all of it."
    assert [len(cell.outputs) for cell in read.cells if cell.cell_type == "code"] == [0, 1, 0, 0, 1]


def test_script_holds_commands_of_any_text() -> None:
    suffix, text = script(export())
    assert suffix == ".py"
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    given = [ast.literal_eval(each.args[1]) for each in calls if getattr(each.func, "id", "") == "bash"]
    assert given == [each.step.code for each in export().plan.kept if each.step.language == "shell"]
    only_shell = replace(export(), plan=replace(export().plan, kept=export().plan.kept[:2]))
    assert script(only_shell)[1].endswith("\n# Look.\n# At all of it.\nwc -l a.csv\n\nfalse\n")


def file(path: str, text: str | None, sha256: str = "") -> WorkspaceFile:
    return WorkspaceFile("id", path, 7, sha256 or str(text), text)


def test_comparison_names_files_lines_and_numbers() -> None:
    kept = plan(exchanges(ROWS)).kept
    said = {"output_type": "stream", "name": "stdout", "text": "1300 a.csv\n"}
    before = [file("same", "x"), file("time", "at 2025-01-01 10:00:00"), file("a.txt", "mean 1\nb\n")]
    after = [file("same", "x"), file("time", "at 2026-02-02 11:11:11"), file("a.txt", "mean 2\nb\n")]
    gone, new = file("gone.png", None, "1"), file("new", "x")
    found = verified(
        kept,
        [CodeRun((said,)), CodeRun((), "CalledProcessError: bash")],
        {each.path: each for each in [*before, gone]},
        {each.path: each for each in [*after, new, file("__pycache__/x.pyc", None, "2")]},
    )
    assert (found.files, found.steps) == (2, 0)
    lines = "\n".join(found.problems)
    assert "Step 1 printed something else:" in lines
    assert "1234 → 1300 (+66, +5.35%)" in lines
    assert "Step 2 failed: CalledProcessError: bash" in lines
    assert "Step 3 did not run" in lines
    assert "a.txt differs:\n    -mean 1\n    +mean 2" in lines
    assert "The new run did not make gone.png." in lines
    assert "Only the new run made new." in lines
    assert len(found.problems) == 6
