"""`%network ask` in a real kernel: asked in a console, denied in batch, remembered for the notebook."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent_kernel.kernel.asking.network import read_question
from agent_kernel.kernel.asking.questions import LineAsker
from agent_kernel.kernel.asking.record import in_words
from agent_kernel.kernel.asking.types import ApprovalRequest, Decision
from agent_kernel.kernel.live.decisions import question_json
from agent_kernel.kernel.render.items import render_item
from tests.kernel.client import TIMEOUT, Notebook, Result

Start = Callable[..., Notebook]


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nhello\n")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def place() -> Iterator[str]:
    """The address and port of a web server on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def asked(notebook: Notebook, code: str, answers: Sequence[str]) -> tuple[Result, list[str]]:
    """Run a cell as a console does, answer its questions in order, and return them too."""
    sent = notebook.send(code, allow_stdin=True)
    prompts = []
    for answer in answers:
        prompts.append(str(notebook.client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"]))
        notebook.client.input(answer)
    return notebook.collect(sent), prompts


@pytest.mark.bubblewrap
def test_connection_is_asked_about(start: Start, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_NETWORK", f"tcp://{place}")
    notebook = start()
    fetch = f"curl -sS -m 30 --noproxy '' -p -x http://127.0.0.1:3128 http://{place}/"
    assert notebook.run("%network ask").plain == ["Allowed: others when you are asked."]

    host = place.partition(":")[0]
    ruled = notebook.run(f"%approve deny --host {host}\n%approve")
    assert ruled.plain[0] == f"Connections to `{host}` are refused. All other commands run."
    assert f"connections to {host}" in ruled.plain[1]
    notebook.run("%approve --clear")

    batch = notebook.run(f"!{fetch}")
    assert f"Network: {place} was refused: the policy asks first, and no one can be asked" in batch.plain[-2]
    assert batch.plain[-1] == f"Network, refused: `{place}`."

    denied, prompts = asked(notebook, f"!{fetch}", ["n", "not today"])
    assert f"curl connects to it while this runs: {fetch}" in prompts[0]
    assert f"May it connect to {place}? [y]es, once" in prompts[0]
    assert f"**May it connect?** `curl` to `{place}`" in denied.plain
    assert "**Denied**: not today" in denied.plain
    assert "was refused: denied by the person who was asked: not today." in denied.plain[-2]

    once, _ = asked(notebook, f"!{fetch}", ["maybe", "y"])
    assert "**Allowed**, once." in once.plain
    assert once.plain[-2].startswith("hello")
    assert once.plain[-1] == f"Network: `{place}`."

    private, _ = asked(notebook, f"!!{fetch}", ["a"])
    assert private.final[0]["text"] == "hello\n"
    assert notebook.run(f"!!{fetch}").final[0]["text"] == "hello\n"
    assert (
        notebook.run("%network").plain[0].startswith(f"Allowed: `tcp://{place}`, others when you are asked.")
    )
    assert notebook.run("%network off").plain == ["Allowed: no network."]
    assert "not in the allowlist" in notebook.run(f"!!{fetch}").final[0]["text"]


QUESTION = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "server_label": "agent_kernel",
    "name": "network",
    "arguments": json.dumps(
        {"host": "a.example", "port": 443, "program": "pip", "command": "pip install", "reason": "Y."}
    ),
}


def request() -> ApprovalRequest:
    found = read_question(QUESTION)
    assert found is not None
    return found


def test_question_is_shown_in_words() -> None:
    asks = request()
    assert (asks.commands, asks.editable, question_json(asks)["about"]) == (
        ("a.example:443",),
        False,
        "network",
    )
    assert asks.reason == "pip connects to it while this runs: pip install. Y."
    allowed = "You allowed connections to `a.example:443`"
    assert in_words(asks, Decision(True)) == f"{allowed} once."
    assert in_words(asks, Decision(True, remember=True)) == f"{allowed} in this notebook."


@pytest.mark.parametrize(
    "arguments", ["", "[]", "{}", '{"host": 1, "port": 443}', '{"host": "a", "port": "443"}']
)
def test_unreadable_question_is_no_question(arguments: str) -> None:
    assert read_question({**QUESTION, "arguments": arguments}) is None


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({"approve": True, "agent_kernel": {"scope": "once"}}, "**Allowed**, once."),
        ({"approve": True, "agent_kernel": {"scope": "container"}}, "**Allowed**, for this notebook."),
        ({"approve": True, "agent_kernel": 7}, "**Allowed**, once."),
        ({"approve": False, "reason": None}, "**Denied.**"),
        ({"approve": False, "reason": "denied by the person who was asked"}, "**Denied.**"),
        ({"approve": False, "reason": "no\n<b>"}, "**Denied**: no <b>"),
    ],
)
def test_answer_is_one_line_of_the_record(answer: dict[str, object], line: str) -> None:
    bundle = render_item({"type": "mcp_approval_response", "id": "mcpa_1", **answer})
    assert bundle is not None
    assert bundle.data["text/plain"] == line
    assert "<b>" not in bundle.data["text/html"]


@pytest.mark.parametrize(
    ("lines", "decision"),
    [
        (["Y"], Decision(True)),
        (["?", "always"], Decision(True, remember=True)),
        (["no", ""], Decision(False)),
        (["n", "why"], Decision(False, reason="why")),
        ([], Decision(False, reason="The question was closed without an answer.")),
    ],
)
async def test_console_takes_these_answers(lines: list[str], decision: Decision) -> None:
    async def ask_line(prompt: str) -> str:
        if not lines:
            raise EOFError
        return lines.pop(0)

    assert await LineAsker(ask_line).ask(request()) == decision
