"""`%model` asks the model's server what it serves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kernel.client import Notebook
from tests.models.model_server import llama_cpp, models, serving

Start = Callable[..., Notebook]


@pytest.mark.bubblewrap
def test_model_shows_what_its_server_tells(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(llama_cpp(True, 4096, "small")) as server:
        monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_URL", server.url)
        monkeypatch.setenv("AGENT_KERNEL_MODEL", "chat/small")
        notebook = start("agent-demo")
        line = f"{server.url} serves small. Tools: accepted. Context: 4,096 tokens."
        assert notebook.run("%model").plain[-1] == line
        server.answers = llama_cpp(False, 512)
        shown = notebook.run("%model responses/other").plain
        assert shown[0] == "Cells now use `responses/other`."
        assert "with small.gguf. Tools: not accepted" in shown[1]
        assert shown[2].startswith("Choose a model with tools")
        server.answers = {"/v1/models": models("<img src=x onerror=alert(1)>\x1b[2J")}
        cell = notebook.run("%model chat/other")
        assert "does not serve other" in cell.plain[-1]
        assert cell.reply["status"] == "ok"
        assert "<img" not in str([each["data"]["text/html"] for each in cell.final])
        assert not server.keys[0].replace("Bearer none", "")
    shown = notebook.run("%model").plain
    assert shown[-1].startswith("No server answers at ")
    assert "Start the model server" in shown[-1]
    assert len(notebook.run("%model scripted/demo").plain) == 1
