"""`%mcp` in a whole kernel, with a server that really runs in the notebook's container."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.client import TIMEOUT, Notebook

HERE = Path(__file__).parent

pytestmark = pytest.mark.bubblewrap


def test_a_server_is_added_used_asked_removed_and_starts_again(start: Callable[..., Notebook]) -> None:
    notebook = start()
    shutil.copy(HERE / "server.py", notebook.folder / "server.py")
    notebook.run(f"%model scripted/{HERE / 'mcp.yaml'}\n%upload server.py")
    added = notebook.run("%mcp add db python3 /mnt/data/server.py")
    assert added.plain == ["The agent can use the tools of `db`, in the container."]
    assert "in the container: python3 /mnt/data/server.py" in notebook.run("%mcp").plain[0]

    first = notebook.run("count once").plain
    assert first[0] == "db has 2 tools"
    assert first[1].startswith("db: count")
    assert first[-1] == "It counted 1."
    again = notebook.run("count once").plain
    assert again[-1] == "It counted 2.", "the server goes on between the cells"
    assert not any(text.startswith("db has") for text in again), "it is listed once"

    sent = notebook.send("book seats", allow_stdin=True)
    assert (
        "The MCP server db asks: How many seats?"
        in notebook.client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"]
    )
    notebook.client.input("y")
    assert notebook.client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"] == "seats: "
    notebook.client.input("4")
    assert notebook.collect(sent).plain[-1] == 'The server heard accept {"seats": 4}.'
    assert notebook.run("book seats").plain[-1] == "The server heard decline null.", "no one can be asked"

    notebook.restart()
    notebook.run(f"%model scripted/{HERE / 'mcp.yaml'}")
    assert notebook.run("%mcp").plain == ["There are no MCP servers. `%mcp add NAME COMMAND` adds one."]
    notebook.run("%upload server.py\n%mcp add db python3 /mnt/data/server.py")
    assert notebook.run("count once").plain[-1].startswith("It counted ")
    assert notebook.run("%mcp remove db").plain == ["Removed `db`."]
    refused = notebook.run("count once")
    assert "It counted" not in "".join(refused.plain), "its tools are not offered any more"
