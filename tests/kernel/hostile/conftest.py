"""A real kernel in which the user and the agent run hostile code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.kernel.client import Notebook, Result
from tests.kernel.hostile.cells import BATCH, ENDS, FOREVER, SHOW
from tests.kernel.hostile.corpus import MARKUP, TEXTS
from tests.kernel.test_interrupt import shows

Outputs = list[dict[str, Any]]
Ran = dict[tuple[str, str], Outputs]
"""What the user's and the agent's cells gave, by who ran them and the name of the code."""

WHO = ("user", "agent")


def run(notebook: Notebook, who: str, code: str, *, stopped: bool = False) -> Outputs:
    """Run code as a cell of the user's, or as a call of the agent's; interrupt it once it has begun."""
    cell = f"%%python\n{code}"
    if who == "agent":
        write = f"%%python\nwith open('/mnt/data/cell.py', 'w') as _: _.write({code!r})\nNone"
        assert notebook.run(write).reply["status"] == "ok"
        cell = "run cell.py"
    sent = notebook.send(cell, cell_id="c" if stopped else None)
    if not stopped:
        return outputs(notebook.collect(sent))
    first = notebook.collect(sent, until=shows("begun\\n"))
    notebook.interrupt()
    rest = notebook.collect(sent)
    return outputs(Result(rest.reply, first.messages + rest.messages))


def outputs(result: Result) -> Outputs:
    """Return what a notebook keeps of a cell."""
    kept: Outputs = []
    for message in result.messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            kept = []
        elif kind in ("stream", "error"):
            kept.append({"output_type": kind, **content})
        elif kind in ("display_data", "execute_result"):
            kept.append({"output_type": kind, **{name: content[name] for name in ("data", "metadata")}})
    return kept


@pytest.fixture(scope="session")
def runs_hostile_code(shared: Notebook) -> Callable[[str], Ran]:
    """Return a function that runs all of it, once, with the address of a canary."""
    found: Ran = {}

    def run_all(address: str) -> Ran:
        if found:
            return found
        samples = [(text.replace("CANARY", address), text in MARKUP) for text in TEXTS]
        (shared.folder / "samples.json").write_text(json.dumps(samples))
        assert shared.run("%upload samples.json").reply["status"] == "ok"
        for number, start in enumerate(range(0, len(TEXTS), BATCH)):
            code = SHOW.replace("START:END", f"{start}:{start + BATCH}")
            who = WHO[number % 2]
            found[who, f"show {start}"] = run(shared, who, code)
        for who in WHO:
            for name, (code, _) in ENDS.items():
                found[who, name] = run(shared, who, code)
            for name, code in FOREVER.items():
                found[who, name] = run(shared, who, code, stopped=True)
        return found

    return run_all
