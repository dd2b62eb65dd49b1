"""`%%python` cells in a real kernel: the outputs of an ordinary Python cell, in the agent's session."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Missing
from tests.kernel.client import Notebook, Result
from tests.kernel.magics.asked import asked
from tests.kernel.test_interrupt import shows
from tests.kernel.upstream import Played

pytestmark = pytest.mark.bubblewrap

Start = Callable[..., Notebook]


def python(notebook: Notebook, code: str, *, cell_id: str | None = None) -> Result:
    return notebook.run(f"%%python\n{code}", cell_id=cell_id)


@pytest.mark.parametrize("cell_id", ["c", None])
def test_outputs_are_those_of_a_python_cell(shared: Notebook, cell_id: str | None) -> None:
    code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\ndisplay('shown')\n6 * 7"
    result = python(shared, code, cell_id=cell_id)
    assert result.kinds == ["stream", "stream", "display_data", "execute_result"]
    out, err, shown, value = [message["content"] for message in result.messages]
    assert (out["name"], out["text"]) == ("stdout", "out\n")
    assert (err["name"], err["text"]) == ("stderr", "err\n")
    assert shown["data"] == {"text/plain": "'shown'"}
    assert value["data"] == {"text/plain": "42"}
    assert value["execution_count"] == result.reply["execution_count"]


def test_r_cells_have_a_session_of_their_own(shared: Notebook, missing: Missing) -> None:
    if shutil.which("R") is None:
        missing("R is missing: apt-get install r-base-core")
    assert python(shared, "height = 'Python'").reply["status"] == "ok"
    for code in ("height <- c(1, 2, 6)\nmean(height)", "length(height)"):
        assert shared.run(f"%%r\n{code}").messages[0]["content"]["text"] == "[1] 3\n"
    assert python(shared, "height").plain == ["'Python'"]
    failed = shared.run("%%r\nstop('no such river')")
    assert "no such river" in failed.messages[0]["content"]["text"]


def test_an_exception_is_the_cells_error(shared: Notebook) -> None:
    result = python(shared, "def half():\n    return 1 / 0\nprint('before')\nhalf()")
    assert result.kinds == ["stream", "error"]
    assert (result.reply["status"], result.reply["ename"]) == ("error", "ZeroDivisionError")
    assert result.reply["evalue"] == "division by zero"
    text = "\n".join(result.final[1]["traceback"])
    assert "return 1 / 0" in text
    assert "\x1b[" in text, "it has colours"
    assert python(shared, "def (").reply["ename"] == "SyntaxError"


def test_rich_displays_are_safe_forms(shared: Notebook) -> None:
    code = "import pandas as pd\npd.DataFrame({'a': [1, 2]})"
    (table,) = python(shared, code).final
    assert ">1</td>" in table["data"]["text/html"]
    evil = "'<script>alert(1)</script><img src=x onerror=alert(2)>'"
    (shown,) = python(shared, f"class E:\n    def _repr_html_(self): return {evil}\nE()").final
    page = re.sub(r'srcdoc="[^"]*"', "", shown["data"]["text/html"])
    assert "<iframe sandbox " in page
    assert "<script>" not in page
    assert "<img" not in page


def test_displays_are_updated_and_cleared(shared: Notebook) -> None:
    result = python(
        shared, "handle = display('first', display_id='bar')\nhandle.update('second')", cell_id="c"
    )
    assert "'second'" in json.dumps([message["content"] for message in result.messages[-1:]])
    later = python(shared, "handle.update('third')", cell_id="c")
    assert later.kinds == ["update_display_data"]
    assert later.messages[0]["content"]["transient"] == {"display_id": "bar"}
    code = "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')"
    cleared = python(shared, code, cell_id="c")
    assert [output["text"] for output in cleared.final] == ["stays\n"]


def test_output_comes_live_and_an_interrupt_keeps_all(shared: Notebook) -> None:
    python(shared, "kept = 5")
    html = "type('H', (), {'_repr_html_': lambda self: '<b>ta' 'ble</b>'})()"
    sent = shared.send(
        f"%%python\nprint('begun')\ndisplay({html})\nimport time\ntime.sleep(600)", cell_id="c"
    )
    first = shared.collect(sent, until=shows("table"))
    shared.interrupt()
    rest = shared.collect(sent)
    assert rest.reply["ename"] == "KeyboardInterrupt"
    printed, table, error = Result(rest.reply, first.messages + rest.messages).final
    assert printed["text"] == "begun\n"
    assert "<b>table</b>" in table["data"]["text/html"]
    assert "Stopped by you" in error["traceback"][0]
    assert python(shared, "kept").plain == ["5"]


def test_agent_and_user_share_variables(fresh: Notebook) -> None:
    assert fresh.run("count in Python").plain[-1].startswith("It is 42")
    assert python(fresh, "total + 1").plain == ["43"]
    python(fresh, "total = 7")
    assert fresh.run("tell the total").plain[-1].startswith("It is 7")


def test_the_model_is_told_the_code_and_its_outputs(talking: Notebook, upstream: Played) -> None:
    python(talking, "answer = 6 * 7\nprint('x' * 200_000)\nanswer")
    told = asked(talking, upstream, "look")
    calls = [
        call["function"]
        for message in upstream.requests[-1]["messages"]
        for call in message.get("tool_calls", ())
    ]
    assert "answer = 6 * 7" in json.dumps(calls)
    assert "42" in told
    assert "characters left out" in told
    assert len(told) < 120_000
    names = {tool["function"]["name"] for tool in upstream.requests[-1]["tools"]}
    assert names == {"shell", "code_interpreter"}


def test_a_cell_that_looks_like_python_is_a_prompt(talking: Notebook, upstream: Played) -> None:
    before = len(upstream.requests)
    for cell in ("x = 1", "print('hello')", "import os\nos.getcwd()"):
        assert talking.run(cell).plain == ["Let me look."]
    assert len(upstream.requests) == before + 3


def test_a_restart_forgets_variables_and_keeps_files(shared: Notebook) -> None:
    python(shared, "lost = 1\nopen('kept.txt', 'w').write('kept')")
    assert shared.run("%python restart").plain[0].startswith("The Python session was restarted")
    assert python(shared, "lost").reply["ename"] == "NameError"
    assert python(shared, "open('kept.txt').read()").plain == ["'kept'"]


def test_input_is_refused(shared: Notebook) -> None:
    result = python(shared, "input('name? ')")
    assert result.reply["status"] == "error"
    assert "nobody can answer" in result.reply["evalue"]


def test_a_session_that_ends_is_told(shared: Notebook) -> None:
    result = python(shared, "import os\nos._exit(9)")
    assert result.reply["status"] == "error"
    assert "The Python session ended (exit code 9)" in result.reply["evalue"]
    assert python(shared, "1 + 1").plain == ["2"]


def test_too_much_code_is_refused(shared: Notebook) -> None:
    result = python(shared, f"x = '{'y' * 1_000_001}'")
    assert "more than 1000000 characters" in result.error
    assert python(shared, "1 + 1").plain == ["2"]


def completed(notebook: Notebook, code: str, cursor: int | None = None) -> dict[str, Any]:
    return notebook.reply(notebook.client.complete(code, cursor))


def explained(notebook: Notebook, code: str) -> dict[str, Any]:
    return notebook.reply(notebook.client.inspect(code))


def test_tab_and_shift_tab_know_live_objects(shared: Notebook) -> None:
    python(shared, "def tax(net, rate=0.19):\n    'Return the tax.'\nclass Shop: tills = 3\nshop = Shop()")
    cell = "%%python\nshop.ti"
    found = completed(shared, cell)
    assert (found["matches"], found["cursor_start"], found["cursor_end"]) == (["tills"], 14, 16)
    assert completed(shared, "%%python\nsho x", 12)["matches"] == ["shop"]
    assert "Return the tax." in explained(shared, "%%python\ntax(")["data"]["text/plain"]
    assert not explained(shared, "%%python\nnobody")["found"]
    assert explained(shared, "%%python")["data"]["text/plain"].startswith("%%python\n")


def test_a_running_cell_makes_no_completion_wait(shared: Notebook) -> None:
    sent = shared.send("%%python\nprint('begun')\nimport time\ntime.sleep(600)", cell_id="c")
    shared.collect(sent, until=shows("begun\\n"))
    assert completed(shared, "%%python\nprin")["matches"] == []
    assert not explained(shared, "%%python\nprint")["found"]
    shared.interrupt()
    assert shared.collect(sent).reply["ename"] == "KeyboardInterrupt"
    assert completed(shared, "%%python\nprin")["matches"] == ["print"]


@pytest.mark.docker
def test_docker_runs_python_cells_too(start: Start) -> None:
    docker = start("agent-docker")
    assert python(docker, "x = 6 * 7\nprint('hi')\nx").kinds == ["stream", "execute_result"]
    assert "x" in completed(docker, "%%python\nx")["matches"]
    assert "x     int" in docker.run("%vars").plain[0]
    assert docker.run("%python restart").reply["status"] == "ok"
    assert python(docker, "x").reply["ename"] == "NameError"
