"""What a cell of the Python session shows: forms, order, bounds, and what is hostile."""

from __future__ import annotations

import asyncio
import base64
import itertools
import textwrap
from typing import Any

import pytest

from agent_kernel.sandboxes.terminal import Program
from agent_kernel.tools.code_interpreter.session import (
    CellResult,
    CodeCell,
    LiveOutput,
    end_session,
    run_cell,
)
from tests.sandboxes.inside import Sandbox
from tests.tools.code_interpreter.conftest import LIMIT, Run

NAMES = itertools.count()
pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]


async def test_output_of_all_kinds_is_in_order(run: Run) -> None:
    code = "import os, subprocess, sys\nprint('a')\nos.system('echo b')\nprint('c', file=sys.stderr)\n"
    code += "subprocess.run(['echo', 'd'])\nos.write(1, b'e\\n')\ndisplay('f', 7)\nawait_ = 8\nNone"
    assert (await run(code)).logs == "a\nb\nc\nd\ne\n'f'\n7\n"
    assert (await run("import asyncio\nawait asyncio.sleep(0)\n9;")).logs == ""


async def test_an_exception_is_told_from_the_cell_on(run: Run) -> None:
    found = await run("def f():\n    return 1 / 0\nprint('before')\nf()")
    assert found.status == "error"
    assert found.logs.startswith('before\nTraceback (most recent call last):\n  File "<cell ')
    assert found.logs.endswith("ZeroDivisionError: division by zero\n")
    assert "return 1 / 0" in found.logs
    assert (await run("def (")).logs.endswith("SyntaxError: invalid syntax\n")
    assert (await run("import sys; sys.exit(3)")).status == "error"
    assert (await run("1\x00")).status == "error"


def shown(found: CellResult) -> list[Any]:
    """Each output's kind, and its text or MIME types."""
    return [
        (each["output_type"], each.get("text") or each.get("ename") or sorted(each["data"]))
        for each in found.outputs
    ]


async def test_displays_keep_their_forms_and_order(run: Run) -> None:
    code = """
        import sys
        from IPython.display import HTML, Latex, Markdown, Math, SVG, display, clear_output
        print("gone"); clear_output()
        class Rich:
            def _repr_mimebundle_(self, include=None, exclude=None):
                deep = []
                for _ in range(200): deep = [deep]
                json = {"application/x+json": {"a": [1]}, "application/deep+json": deep}
                return {"text/html": "<b>r</b>", **json}
        print("out"); print("err", file=sys.stderr)
        display(HTML("<b>x</b>"), Markdown("*y*"), Latex("$x$"), Math("x"), SVG("<svg/>"))
        handle = display("first", display_id="one")
        print("last")
        handle.update("second")
        Rich()
    """
    found = await run(textwrap.dedent(code))
    plain, html, latex = "text/plain", "text/html", "text/latex"
    assert shown(found) == [
        ("stream", "out\n"),
        ("stream", "err\n"),
        ("display_data", [html, plain]),
        ("display_data", ["text/markdown", plain]),
        *[("display_data", [latex, plain])] * 2,
        ("display_data", ["image/svg+xml", plain]),
        ("display_data", [plain]),
        ("stream", "last\n"),
        ("execute_result", ["application/x+json", html, plain]),
    ]
    assert found.outputs[-3]["data"] == {plain: "'second'"}
    assert found.outputs[-3]["transient"] == {"display_id": "one"}
    assert found.outputs[-1]["data"]["application/x+json"] == {"a": [1]}
    assert "*y*\n$x$\n$\\displaystyle x$\n" in found.logs
    (later,) = (await run("handle.update('third')")).outputs
    assert (later["output_type"], later["transient"]) == ("update_display_data", {"display_id": "one"})
    (failed,) = (await run("1 / 0")).outputs
    assert (failed["ename"], failed["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert failed["traceback"][-1] == "\x1b[1;31mZeroDivisionError\x1b[0m: division by zero"


async def test_displays_are_bounded(run: Run) -> None:
    found = await run("from IPython.display import HTML, display\nfor n in range(60): display(HTML(str(n)))")
    assert len(found.outputs) == 51
    assert found.logs.endswith("[Some displays are left out: there were too many, or they are too large.]\n")
    found = await run("for n in range(3): display(HTML('x' * 7_000_000))")
    assert "text/html" not in str(found.outputs)
    found = await run("for n in range(3_000): display('x' * 50)\nprint('end')")
    assert found.logs.endswith("'\nend\n")
    assert len(found.logs) < LIMIT + 100


async def test_outputs_come_while_the_cell_runs(run: Run, sandbox: Sandbox) -> None:
    came: asyncio.Queue[Any] = asyncio.Queue()

    async def live(new: LiveOutput) -> None:
        came.put_nowait(new.output)

    code = """from IPython.display import HTML, clear_output, display
import os, time
print('begun')
bar = display(HTML('<b>1</b>'), display_id='bar')
bar.update(HTML('<b>2</b>'))
while not os.path.exists('seen'): time.sleep(0.02)
clear_output()
print('end')"""
    cell = CodeCell(f"live/{next(NAMES)}", code, 60, LIMIT, live=live)
    running = asyncio.create_task(run_cell(sandbox.channel, cell))
    assert await came.get() == {"output_type": "stream", "name": "stdout", "text": "begun\n"}
    shown, updated = await came.get(), await came.get()
    assert (shown["output_type"], shown["data"]["text/html"]) == ("display_data", "<b>1</b>")
    assert (updated["output_type"], updated["data"]["text/html"]) == ("update_display_data", "<b>2</b>")
    assert shown["transient"] == updated["transient"] == {"display_id": "bar"}
    await sandbox("touch seen")
    assert (await running).logs == "end\n"


async def test_a_session_that_ends_leaves_what_it_showed(run: Run) -> None:
    code = """
        from IPython.display import HTML, JSON, clear_output
        import os, time
        print("gone"); clear_output()
        print("begun")
        bar = display(HTML("<b>1</b>"), display_id="bar")
        bar.update(HTML("<b>2</b>"))
        display(JSON("a text"), {"plain": 1})
        time.sleep(1); os._exit(3)
    """
    begun, bar, text, plain, told = (await run(textwrap.dedent(code))).outputs
    assert begun == {"output_type": "stream", "name": "stdout", "text": "begun\n"}
    assert bar["data"]["text/html"] == "<b>2</b>"
    assert (text["data"]["application/json"], plain["data"]) == ("a text", {"text/plain": "{'plain': 1}"})
    assert told["text"].startswith("[The Python session ended (exit code 3).")


async def test_large_live_displays_do_not_break_the_answer(run: Run, sandbox: Sandbox) -> None:
    shown: list[int] = []

    async def live(new: LiveOutput) -> None:
        shown.append(len(new.output["data"]["text/html"]))

    code = """from IPython.display import HTML, display
import time
for n in range(4):
    display(HTML(str(n) * 900_000))
    time.sleep(0.1)"""
    cell = CodeCell(f"live/{next(NAMES)}", code, 60, LIMIT, live=live)
    found = await run_cell(sandbox.channel, cell)
    assert [len(each["data"]["text/html"]) for each in found.outputs] == [900_000] * 4
    assert set(shown) == {900_000}
    assert (await run("'on'")).logs == "'on'\n"


async def test_a_picture_is_an_image(run: Run) -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 50).decode()
    code = f"import base64\nclass P:\n    def _repr_png_(self): return base64.b64decode('{png}')\n"
    found = await run(f"{code}display(P())\nprint('x')\nP()")
    assert found.images == (f"data:image/png;base64,{png}",) * 2
    assert found.logs == "x\n"
    huge = await run("class H:\n    def _repr_png_(self): return b'x' * 5_000_000\nH()")
    assert (huge.images, "left out" in huge.logs) == ((), True)


async def test_figures_are_shown_and_closed(run: Run, sandbox: Sandbox) -> None:
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
    found = await run(f"{figure}fig, ax = plt.subplots()\nax.plot([3])\nfig")
    assert (found.status, len(found.images)) == ("ok", 2), found.logs
    assert all(each.startswith("data:image/png;base64,iVBOR") for each in found.images)
    assert (await run("plt.get_fignums()")).logs == "[]\n"
    table = await run("import pandas as pd\npd.DataFrame({'a': [1, 2]})")
    assert "   a\n0  1\n1  2\n" in table.logs


async def test_a_figure_names_the_files_that_show_the_same(run: Run) -> None:
    code = """
        import matplotlib.pyplot as plt
        plt.plot([1, 2])
        plt.savefig("early.png")
        plt.plot([2, 1])
        plt.savefig("plot.png", dpi=150, bbox_inches="tight")
        plt.savefig("gone.png"); import os; os.remove("gone.png")
        plt.show()
    """
    (figure,) = (await run(textwrap.dedent(code))).outputs
    assert figure["metadata"] == {"agent_kernel": {"saved": ["/mnt/data/plot.png"]}}
    (other,) = (await run("_ = plt.plot([3])")).outputs
    assert other["metadata"] == {}


async def test_styles_of_pandas_are_html(run: Run) -> None:
    code = "import pandas as pd\npd.DataFrame({'a': [1, 2]}).style.set_caption('Two').background_gradient()"
    (styled,) = (await run(code)).outputs
    assert "<caption>Two</caption>" in styled["data"]["text/html"]
    assert "background-color" in styled["data"]["text/html"]


async def test_input_is_refused(run: Run) -> None:
    found = await run("input('name? ')")
    assert "nobody can answer" in found.logs
    assert (await run("import sys; sys.stdin.read()")).logs == "''\n"


async def test_output_is_bounded_and_none_is_waited_for(run: Run) -> None:
    found = await run("print('head')\nfor n in range(300):\n    print('x' * 100_000)\nprint('tail')")
    assert found.logs.startswith("head\nxxx")
    assert found.logs.endswith("xxx\ntail\n")
    assert "characters left out" in found.logs
    assert len(found.logs) < LIMIT + 100


async def test_the_host_receives_little_of_much(run: Run, sandbox: Sandbox, monkeypatch: Any) -> None:
    """Also while the cell runs: its memory does not depend on what is printed."""
    received = []
    read = Program.read

    async def counted(program: Program) -> Any:
        event = await read(program)
        received.append(len(getattr(event, "data", b"")))
        return event

    async def live(new: LiveOutput) -> None:
        assert len(new.output["text"]) <= 200_000

    monkeypatch.setattr(Program, "read", counted)
    code = "for n in range(200): print('x' * 100_000)\ndisplay('y' * 10_000_000)\n'z' * 10_000_000"
    found = await run_cell(sandbox.channel, CodeCell(f"live/{next(NAMES)}", code, 60, LIMIT, live=live))
    assert "characters left out" in found.logs
    assert sum(received) < 2_000_000


TOO_LONG = "The cell took longer than 1 s"
WRITER = "class O:\n    def write(self, text): raise SystemExit\nimport sys; sys.stdout = O(); print(1)"
HOSTILE = {
    "huge": (
        "class H:\n    def __repr__(self): return 'h' * 50_000_000\nH()",
        "characters left out",
    ),
    "recursive": ("class R:\n    def __repr__(self): return repr(self)\nR()", "RecursionError: maximum"),
    "nested": ("class D:\n    def _repr_html_(self): display(self)\nD()", "D._repr_html_ failed: Recursion"),
    "bundle": (
        "class M:\n    def _repr_mimebundle_(self, **_): return {'a/b': M(), 7: 8}\nM()",
        "<__main__.M",
    ),
    "endless": ("class E:\n    def _repr_html_(self):\n        while True: pass\nE()", TOO_LONG),
    "displays": ("while True: display(display)", TOO_LONG),
    "stdout": (WRITER, "SystemExit"),
    "cause": ("e = ValueError(); e.__cause__ = e; raise e", "ValueError"),
    "exception": (
        "class S(Exception):\n    def __str__(self): return 1\nraise S",
        "S: <exception str() failed>",
    ),
}


@pytest.mark.parametrize(("code", "told"), HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_display_is_told_and_ends(run: Run, code: str, told: str) -> None:
    before = await run("kept = 1")
    found = await run(code, seconds=1 if told == TOO_LONG else 60)
    assert told in found.logs
    assert len(found.logs) < 12_000
    after = await run("kept + 1")
    assert (after.logs, after.session) == ("2\n", before.session)


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.stdout = sys.stderr = None",
        "import os; os.close(0); os.close(1); os.close(2)",
        "import os\nif child := os.fork(): os.waitpid(child, 0)\nelse: print('child')",
        "import sys; sys.stdout.close()",
        "class R:\n    def __repr__(self): return 1\nR()",
        "def f(): f()\nf()",
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "import builtins; del builtins.print, builtins.repr",
        "import sys; sys.modules.clear()",
    ],
)
async def test_a_cell_cannot_break_the_next(run: Run, sandbox: Sandbox, code: str) -> None:
    await run("import os, signal, sys")
    before = await run("kept = 1")
    await run(code)
    after = await run("kept + 1")
    assert (after.logs, after.session) == ("2\n", before.session)
    await end_session(sandbox.channel)
