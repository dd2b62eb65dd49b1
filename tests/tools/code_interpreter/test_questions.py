"""Questions about the Python session in a real sandbox: what it answers, and what it never does for one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from agent_kernel.errors import InvalidRequest
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.sandboxes.docker.backend import DockerBackend
from agent_kernel.tools.code_interpreter.answers import read_answer
from agent_kernel.tools.code_interpreter.inside import helping
from agent_kernel.tools.code_interpreter.questions import SECONDS, ask, check
from agent_kernel.tools.code_interpreter.session import CodeCell, run_cell
from tests.sandboxes.inside import Sandbox, started
from tests.tools.code_interpreter.conftest import Run

Ask = Callable[..., Coroutine[Any, Any, Mapping[str, Any]]]

pytestmark = [pytest.mark.bubblewrap, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def ask_it(sandbox: Sandbox) -> Ask:
    async def ask_it(asked: str, **fields: Any) -> Mapping[str, Any]:
        return await ask(sandbox.channel, {"ask": asked, **fields})

    return ask_it


def at_end(code: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "cursor": len(code), **more}


async def test_a_question_starts_no_session(run: Run, ask_it: Ask) -> None:
    await ask_it("end")
    assert await ask_it("variables") == {"session": "absent"}
    assert await ask_it("complete", **at_end("pri")) == {"session": "absent"}
    first = await run("kept = 1")
    assert await ask_it("end") == {"session": "ended"}
    assert await ask_it("end") == {"session": "absent"}
    assert (await run("1")).session == first.session + 1


async def test_live_objects_complete(run: Run, ask_it: Ask) -> None:
    await run("class Shop:\n    tills = 3\n    def open_till(self): pass\nshop = Shop(); row = {'price': 1}")
    found = await ask_it("complete", **at_end("x = 1\nshop.t"))
    assert (found["matches"], found["start"], found["end"]) == (["tills"], 11, 12)
    assert "shop" in (await ask_it("complete", **at_end("sho")))["matches"]
    assert "print" in (await ask_it("complete", **at_end("pri")))["matches"]
    assert (await ask_it("complete", **at_end("row['p")))["matches"] == ["price"]
    assert (await ask_it("complete", **at_end("nobody.x")))["matches"] == []


async def test_live_objects_explain_themselves(run: Run, ask_it: Ask) -> None:
    await run("def tax(net, rate=0.19):\n    'Return the tax.'\n    return net * rate")
    found = await ask_it("inspect", **at_end("tax(1, ", detail=0))
    assert "tax(net, rate=0.19)" in found["text"]
    assert "Return the tax." in found["text"]
    assert "return net * rate" in (await ask_it("inspect", **at_end("tax", detail=1)))["text"]
    assert (await ask_it("inspect", **at_end("nobody", detail=0)))["text"] is None


async def test_variables_are_listed(run: Run, ask_it: Ask) -> None:
    await ask_it("end")
    code = "import math\nimport pandas as pd\nimport numpy as np\ndef f(): pass\n"
    code += "frame = pd.DataFrame({'a': [1, 2, 3], 'b': list('xyz')})\n"
    code += "matrix = np.zeros((4, 2))\nword = 'hello'"
    await run(code)
    found = await ask_it("variables")
    rows = {row[0]: row[1:] for row in found["rows"]}
    assert rows["frame"][:2] == ["DataFrame", "3 × 2"]
    assert rows["frame"][2] > 24
    assert rows["frame"][3] == "a, b"
    assert rows["matrix"][:3] == ["ndarray[float64]", "4 × 2", 64]
    assert (rows["word"][0], rows["word"][1], rows["word"][3]) == ("str", "5", "'hello'")
    assert (list(rows), found["count"], found["code"]) == (["frame", "matrix", "word"], 3, 4)


async def test_a_frame_is_a_table_and_a_file(run: Run, ask_it: Ask, sandbox: Sandbox) -> None:
    await run("import pandas as pd\nframe = pd.DataFrame({'a': [1.5, None, 3], 'b': ['x|y', 'é', '<b>']})")
    shown = await ask_it("table", name="frame", rows=2, path=None)
    assert [column[0] for column in shown["columns"]] == ["a", "b"]
    assert [column[2] for column in shown["columns"]] == [1, 0]
    assert (shown["rows"], shown["count"], shown["width"]) == ([["1.5", "x|y"], ["", "é"]], 3, 2)
    part = await ask_it("table", name="frame", rows=2, path=None, start=1, columns=1)
    assert (part["rows"], [column[0] for column in part["columns"]], part["width"]) == (
        [[""], ["3"]],
        ["a"],
        2,
    )
    assert (await ask_it("table", name="frame", rows=2, path=None, start=9))["rows"] == []
    await ask_it("table", name="frame", rows=1, path="/mnt/data/frame.csv")
    assert (await sandbox("cat frame.csv")).stdout.decode() == "a,b\n1.5,x|y\n,é\n3.0,<b>\n"
    assert await ask_it("table", name="nobody", rows=1, path=None) == {"session": "running", "missing": True}
    await run("named = frame.set_index('b')['a']; plain = 5; listed = [{'k': 1}, {'k': 2}]")
    assert (await ask_it("table", name="named", rows=9, path=None))["rows"][0] == ["x|y", "1.5"]
    assert (await ask_it("table", name="listed", rows=9, path=None))["count"] == 2
    assert await ask_it("table", name="plain", rows=9, path=None) == {"session": "running", "type": "int"}


HOSTILE = """
import os, time
class Slow:
    def __repr__(self):
        time.sleep(60)
class Loud:
    def __repr__(self):
        print("x" * 1000)
        return "a\\n" + "b" * 100_000
class Wrong:
    def __repr__(self):
        return 5
    def __len__(self):
        raise SystemExit
class Deep:
    shape = property(lambda self: self.shape)
    def __getattribute__(self, name):
        if name == "t":
            time.sleep(60)
        return object.__getattribute__(self, name)
slow, loud, wrong, deep = Slow(), Loud(), Wrong(), Deep()
endless = []
endless.append(endless)
huge = list(range(1_000_000))
"""


async def test_hostile_variables_are_bounded(run: Run, ask_it: Ask) -> None:
    before = await run(HOSTILE)
    found = await ask_it("variables")
    rows = {row[0]: row for row in found["rows"]}
    assert rows["slow"][4] == "[takes too long]"
    assert rows["wrong"][4].startswith("<Wrong instance")
    assert rows["endless"][4].startswith("[[")
    assert rows["huge"][2] == "1,000,000"
    assert max(len(str(cell)) for row in found["rows"] for cell in row) <= 200
    again = await run("print('on')")
    assert (again.logs, again.session) == ("on\n", before.session)


async def test_a_question_that_takes_long_is_given_up(
    run: Run, ask_it: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECONDS, "complete", 0.3)
    before = await run(HOSTILE + "kept = 3\nclass Dir:\n    def __dir__(self): time.sleep(60)\nd = Dir()")
    found = await ask_it("complete", **at_end("d.t"))
    assert found["session"] == "slow" or found["failed"] == "KeyboardInterrupt"
    again = await run("kept")
    assert (again.logs, again.session) == ("3\n", before.session)


async def test_a_busy_session_says_so(run: Run, ask_it: Ask, sandbox: Sandbox) -> None:
    cell = asyncio.create_task(run("open('busy', 'w').close()\nimport time; time.sleep(60)"))
    await sandbox("until [ -e busy ]; do sleep 0.02; done")
    assert await ask_it("variables") == {"session": "busy"}
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    assert (await ask_it("variables"))["session"] == "running"


async def test_an_answer_may_end_the_session(run: Run, ask_it: Ask) -> None:
    await run("import os\nclass End:\n    def __dir__(self): os._exit(3)\ne = End()")
    assert await ask_it("complete", **at_end("e.")) == {"session": "absent"}
    assert "2\n" in (await run("1 + 1")).logs


async def test_answers_for_others_are_skipped(run: Run, ask_it: Ask, sandbox: Sandbox) -> None:
    await run("x = 1")
    other = await Channel.open(await sandbox.backend.stream(sandbox.ref), egress=None)
    try:
        async with other.running_program("python") as program:
            assert not isinstance(program, str)
            line = {"id": "gone", "asked": {"ask": "variables"}}
            await program.write(json.dumps(line).encode() + b"\n{\n")
    finally:
        await other.aclose()
    assert (await ask_it("complete", **at_end("x")))["session"] == "running"


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"ask": "run"},
        {"ask": ["end"]},
        {"ask": "complete", "code": "x"},
        {"ask": "complete", "code": "x", "cursor": 2},
        {"ask": "complete", "code": "x", "cursor": -1},
        {"ask": "complete", "code": "x", "cursor": True},
        {"ask": "complete", "code": "x" * 100_001, "cursor": 0},
        {"ask": "inspect", "code": 5, "cursor": 0, "detail": 0},
        {"ask": "table", "name": "x", "rows": "2", "path": None},
        {"ask": "end", "force": True},
    ],
)
async def test_a_malformed_question_is_refused(question: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        check(question)


FORGED: list[Any] = [
    None,
    [],
    {},
    {"matches": "abc", "start": 0, "end": 0},
    {"matches": [1], "start": 0, "end": 0},
    {"matches": [], "start": -1, "end": 0},
    {"matches": [], "start": True, "end": 0},
    {"rows": [["a"]], "count": 1, "code": 0},
    {"rows": [["a", "b", "c", "d", "e"]], "count": 1, "code": 0},
    {"columns": 3, "type": "x"},
    {"text": 5},
]


@pytest.mark.parametrize("asked", ["complete", "inspect", "variables", "table"])
async def test_a_forged_answer_is_none(asked: str) -> None:
    for answer in FORGED:
        assert read_answer(asked, answer) == {"failed": "no answer"}
    many = read_answer("complete", {"matches": ["m" * 999] * 999, "start": 0, "end": 0})
    assert (len(many["matches"]), len(many["matches"][0])) == (200, 200)
    assert read_answer("inspect", {"text": "\ud800"}) == {"text": "?"}


@pytest.mark.parametrize(
    ("code", "cursor", "name"),
    [
        ("shop.open(1)", 3, "shop"),
        ("shop.open(1)", 9, "shop.open"),
        ("shop.open(1, ", 13, "shop.open"),
        ("f(g(1), ", 8, "f"),
        ("(1, 2)", 3, ""),
        ("for x", 3, ""),
        ("", 0, ""),
    ],
)
async def test_the_name_at_the_cursor(code: str, cursor: int, name: str) -> None:
    assert helping.name_at(code, cursor) == name


@pytest.mark.docker
@pytest.mark.asyncio(loop_scope="function")
async def test_docker_answers_too(docker_backend: DockerBackend) -> None:
    async with started(docker_backend) as sandbox:
        assert await ask(sandbox.channel, {"ask": "variables"}) == {"session": "absent"}
        await run_cell(sandbox.channel, CodeCell("cell/1", "answer = 42", 60, 2000))
        found = await ask(sandbox.channel, {"ask": "complete", **at_end("answ")})
        rows = (await ask(sandbox.channel, {"ask": "variables"}))["rows"]
    assert "answer" in found["matches"]
    assert [(row[0], row[1], row[4]) for row in rows] == [("answer", "int", "42")]
