"""The Python session in a real sandbox: what it keeps, shows, refuses and survives."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.sandboxes.terminal import Program
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.tools.code_interpreter.outputs import read_outputs, text_of
from agent_kernel.tools.code_interpreter.session import (
    NAME,
    CellResult,
    CodeCell,
    LiveOutput,
    command,
    end_session,
    run_cell,
    source,
)
from tests.sandboxes.inside import Sandbox, started

Run = Callable[..., Coroutine[Any, Any, CellResult]]
LIMIT = 2000

pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]
_NAMES = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    backend = BubblewrapBackend(tmp_path_factory.mktemp("sandboxes"), toolbox)
    memory = 512 << 20 if backend.capabilities().memory_limit else 1 << 30
    async with started(backend, memory=memory) as sandbox:
        yield sandbox
    await backend.aclose()


@pytest.fixture
def run(sandbox: Sandbox) -> Run:
    async def run(code: str, seconds: float = 60, channel: Channel | None = None) -> CellResult:
        return await run_cell(
            channel or sandbox.channel, CodeCell(f"cell/{next(_NAMES)}", code, seconds, LIMIT)
        )

    return run


async def test_variables_are_kept(run: Run) -> None:
    first = await run("import math\nx = 20\nprint('hi')")
    assert (first.status, first.logs, first.images) == ("ok", "hi\n", ())
    second = await run("x += 1\nx * 2")
    assert (second.logs, second.session) == ("42\n", first.session)
    assert (await run("_ + 1; math.floor(x / 2)")).logs == "10\n"


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
    cell = CodeCell(f"cell/{next(_NAMES)}", code, 60, LIMIT, live=live)
    running = asyncio.create_task(run_cell(sandbox.channel, cell))
    assert await came.get() == {"output_type": "stream", "name": "stdout", "text": "begun\n"}
    shown, updated = await came.get(), await came.get()
    assert (shown["output_type"], shown["data"]["text/html"]) == ("display_data", "<b>1</b>")
    assert (updated["output_type"], updated["data"]["text/html"]) == ("update_display_data", "<b>2</b>")
    assert shown["transient"] == updated["transient"] == {"display_id": "bar"}
    await sandbox("touch seen")
    assert (await running).logs == "end\n"
    code = "print('begun'); import os, time; time.sleep(1); os._exit(3)"
    cell = CodeCell(f"cell/{next(_NAMES)}", code, 60, LIMIT, live=live)
    ended = (await run_cell(sandbox.channel, cell)).logs
    assert ended.startswith("begun\n[The Python session ended (exit code 3).")


async def test_large_live_displays_do_not_break_the_answer(run: Run, sandbox: Sandbox) -> None:
    shown: list[int] = []

    async def live(new: LiveOutput) -> None:
        shown.append(len(new.output["data"]["text/html"]))

    code = """from IPython.display import HTML, display
import time
for n in range(4):
    display(HTML(str(n) * 900_000))
    time.sleep(0.1)"""
    cell = CodeCell(f"cell/{next(_NAMES)}", code, 60, LIMIT, live=live)
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
    found = await run_cell(sandbox.channel, CodeCell(f"cell/{next(_NAMES)}", code, 60, LIMIT, live=live))
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
    found = await run(code, seconds=1)
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


async def test_threads_of_earlier_cells_print_nothing(run: Run) -> None:
    code = "import threading\ngo, done = threading.Event(), threading.Event()\n"
    code += (
        "def late():\n    go.wait()\n    print('late')\n    done.set()\nthreading.Thread(target=late).start()"
    )
    await run(code)
    found = await run("print('mine'); go.set(); done.wait()\nNone")
    assert found.logs == "mine\n[5 characters that threads of earlier cells printed are left out]\n"


async def test_a_timeout_keeps_the_session(run: Run) -> None:
    before = await run("kept = 5")
    found = await run("print('begun')\nwhile True: pass", seconds=1)
    assert found.status == "timed_out"
    assert "begun\nKeyboardInterrupt\n[The cell took longer than 1 s" in found.logs
    after = await run("kept")
    assert (after.logs, after.session) == ("5\n", before.session)


async def test_cancelling_interrupts_the_cell(run: Run, sandbox: Sandbox) -> None:
    before = await run("kept = 6")
    cell = asyncio.create_task(run("open('cancelled', 'w').close()\nimport time; time.sleep(99)"))
    await sandbox("until [ -e cancelled ]; do sleep 0.02; done")
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    after = await run("kept")
    assert (after.logs, after.session) == ("6\n", before.session)


async def test_cells_of_two_hosts_take_turns(run: Run, sandbox: Sandbox) -> None:
    other = await Channel.open(await sandbox.backend.stream(sandbox.ref), egress=None)
    try:
        await run("order = []")
        slow = "import time\norder.append('a')\ntime.sleep(0.2)\norder.append('b')\nprint('one')"
        one, two = await asyncio.gather(run(slow), run("order.append('c')\nprint('two')", channel=other))
        assert (one.logs, two.logs) == ("one\n", "two\n")
        assert (await run("order in (['a', 'b', 'c'], ['c', 'a', 'b'])")).logs == "True\n"
    finally:
        await other.aclose()


async def test_nothing_runs_twice_under_one_name(run: Run, sandbox: Sandbox) -> None:
    await run("count = 0")
    cell = CodeCell("cell/named", "count += 1\nprint(count)", 60, LIMIT)
    first, again = await run_cell(sandbox.channel, cell), await run_cell(sandbox.channel, cell)
    assert first.logs == again.logs == "1\n"
    unknown = await run_cell(sandbox.channel, CodeCell("cell/never", "count = 99", 60, LIMIT, known=True))
    assert unknown.status == "unknown"
    assert (await run("count")).logs == "1\n"


async def test_half_a_line_of_a_lost_host_is_dropped(run: Run, sandbox: Sandbox) -> None:
    await run("kept = 7")
    async with sandbox.channel.program(NAME, ["true"]) as program:
        await program.write(b'{"id": "lost", "code": "kept = 0"\n[1]\n"x"\nnull\n{"id": 1}\n')
    assert (await run("kept")).logs == "7\n"


async def test_one_that_cannot_be_interrupted_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.tools.code_interpreter.session.GRACE", 0.5)
    stubborn = (
        "import time\nwhile True:\n    try:\n        time.sleep(99)\n    except KeyboardInterrupt: pass"
    )
    found = await run(stubborn, seconds=1)
    assert found.status == "timed_out"
    assert "The Python session ended (exit code 137)" in found.logs
    assert (await run("1 + 1")).logs == "2\n"


async def test_a_restart_forgets_and_ends_all(run: Run, sandbox: Sandbox) -> None:
    await run("import subprocess; child = subprocess.Popen(['sleep', '8531'])")
    await end_session(sandbox.channel)
    assert (await sandbox("grep -al 'slee[p].8531' /proc/[0-9]*/cmdline")).stdout == b""
    assert "NameError" in (await run("child")).logs


async def test_an_image_without_python_is_told(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await end_session(sandbox.channel)
    with monkeypatch.context() as patch:
        patch.setattr("agent_kernel.tools.code_interpreter.session.command", lambda *_: ["no-python"])
        found = await run("1")
    assert found.status == "ended"
    assert found.logs.endswith("[The container has no Python: python3 cannot be started.]\n")
    assert (await run("1 + 1")).logs.endswith("2\n")


@pytest.mark.slow
async def test_a_fork_bomb_is_ended_with_the_session(
    run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.tools.code_interpreter.session.GRACE", 0.5)
    bomb = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    try: os.fork()\n"
    )
    found = await run(f"{bomb}    except OSError: pass", seconds=1)
    assert found.status == "timed_out"
    assert (await run("'on'")).logs.endswith("'on'\n")
    left = await sandbox("grep -al AGENT_KERNEL_JOB=program/python /proc/[0-9]*/environ | wc -l")
    assert left.stdout == b"1\n"  # the new session


async def test_a_shell_command_does_not_list_it(run: Run, sandbox: Sandbox) -> None:
    await run("1")
    after = await sandbox.channel.aftermath("/mnt/data", None)
    assert after is not None
    assert after.running == ()


@pytest.mark.docker
@pytest.mark.asyncio(loop_scope="function")
async def test_docker_keeps_a_session_too(docker_backend: DockerBackend) -> None:
    async with started(docker_backend) as sandbox:
        first = await run_cell(sandbox.channel, CodeCell("cell/1", "x = 20\nprint('hi')", 60, LIMIT))
        stuck = await run_cell(sandbox.channel, CodeCell("cell/2", "while True: x += 1", 1, LIMIT))
        again = await run_cell(sandbox.channel, CodeCell("cell/3", "x > 20", 60, LIMIT))
    assert (first.logs, stuck.status, again.logs) == ("hi\n", "timed_out", "True\n")
    assert first.session == again.session


async def test_the_program_is_small() -> None:
    assert len(source(50_000)) < 96 << 10


@pytest.mark.asyncio(loop_scope="function")
async def test_ipython_runs_the_cells_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the Python of the tests, which has IPython. The protocol and the capture are the same."""
    monkeypatch.setattr("agent_kernel.tools.code_interpreter.session.NAMES_FILE", f"{tmp_path}/{{}}-names")
    limit = LIMIT + 1  # so that the program is made anew, with this file
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command(limit)[1:], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(source(limit))
    assert json.loads(await process.stdout.readline()) == {"ready": True}

    async def run(code: str) -> tuple[str, str]:
        assert process.stdin is not None
        assert process.stdout is not None
        name = str(next(_NAMES))
        process.stdin.write(json.dumps({"id": name, "code": code, "known": False}).encode() + b"\n")
        value = json.loads(await process.stdout.readline())
        assert value["id"] == name
        return value["status"], text_of(read_outputs(value["outputs"], LIMIT))

    assert await run("x = 20\nx + 1") == ("ok", "21\n")
    assert await run("!echo from the shell") == ("ok", "from the shell\n")
    assert await run("%who_ls") == ("ok", "['x']\n")
    assert await run("from IPython.display import display\ndisplay(x)\nprint('p')") == ("ok", "20\np\n")
    status, logs = await run("1 / 0")
    assert (status, "ZeroDivisionError" in logs, "\x1b" in logs) == ("error", True, False)
    assert json.loads((tmp_path / "python-names").read_text()) == {"names": ["x", "display"], "more": 0}
    process.stdin.close()
    assert await process.wait() == 0
