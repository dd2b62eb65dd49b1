from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pexpect
import pytest

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.kernel.asking.approvals import MOST_UNATTENDED, NotebookApprovals
from agent_kernel.kernel.asking.questions import LineAsker
from agent_kernel.kernel.asking.types import ApprovalRequest, Decision
from agent_kernel.kernel.magics.approve import changed
from agent_kernel.kernel.outputs import CellOutputs
from agent_kernel.kernel.preferences import from_metadata
from agent_kernel.kernel.render.approval import kind_in_words
from agent_kernel.kernel.render.items import render_item
from agent_kernel.policy.rules import Policy, Rule
from tests.kernel.client import TIMEOUT, Notebook, Result

SCRIPT = Path(__file__).parent / "approvals.yaml"
MODEL = f"%model scripted/{SCRIPT}\n"

Start = Callable[..., Notebook]


@pytest.fixture
def notebook(shared: Notebook) -> Iterator[Notebook]:
    """The shared kernel, asking before every command; it is left as it was."""
    shared.run(MODEL + "!rm -f made.txt plain.txt\n%approve ask")
    yield shared
    shared.run("%approve --clear\n%model --default")


NOT_RUN = (
    "**Not run**: No one could be asked for approval. "
    "The policy asks before every command that no rule allows."
)


def asked(notebook: Notebook, code: str, answers: Sequence[str]) -> Result:
    """Run a cell as a console does, and answer its questions in order."""
    sent = notebook.send(code, allow_stdin=True)
    for answer in answers:
        notebook.client.get_stdin_msg(timeout=TIMEOUT)
        notebook.client.input(answer)
    return notebook.collect(sent)


def question(notebook: Notebook) -> str:
    return str(notebook.client.get_stdin_msg(timeout=TIMEOUT)["content"]["prompt"])


def lines(notebook: Notebook) -> str:
    """How many lines the file has; the person's own commands are not asked about."""
    result = notebook.run("!cat made.txt 2>/dev/null | wc -l")
    return result.plain[-1].strip()


def test_a_console_asks_and_the_cell_goes_on(notebook: Notebook) -> None:
    sent = notebook.send("make the file", allow_stdin=True)
    prompt = question(notebook)
    assert "echo made >> made.txt" in prompt
    assert "asks before every command" in prompt
    notebook.client.input("y")
    result = notebook.collect(sent)
    assert result.reply["status"] == "ok"
    shown = [text.split("\n")[0] for text in result.plain]
    assert shown[0].startswith("$ echo made")
    assert shown[1:4] == ["You allowed this command once.", "1", "Made, 1."]


def test_a_denial_reaches_the_model_with_its_reason(notebook: Notebook) -> None:
    result = asked(notebook, "try to make it", ["perhaps", "n", "not on a Friday"])
    assert result.plain[1:] == ["You denied this command: not on a Friday", "So be it."]
    assert "exit" not in "".join(result.plain), "what never ran has no exit code"
    assert lines(notebook) == "0"


def test_an_edited_command_is_what_runs(notebook: Notebook) -> None:
    result = asked(notebook, "make the file", ["e", "echo other >> made.txt; echo 5"])
    assert "You changed this command before allowing it: `echo other >> made.txt; echo 5`" in result.plain
    assert "Made, 5." in result.plain
    assert any("The person changed this before it ran." in text for text in result.plain)


def test_a_kind_is_allowed_for_the_notebook(notebook: Notebook) -> None:
    first = asked(notebook, "plain one", ["a"])
    assert "You allowed this command, and any `touch …` command, until the kernel stops." in first.plain
    second = notebook.run("plain one")
    assert "You allowed any `touch …` command before, so you were not asked again." in second.plain
    assert "touch *" in notebook.run("%approve").plain[-1]
    notebook.run("%approve --clear\n%approve ask")
    assert NOT_RUN in notebook.run("plain one").plain


def test_in_batch_nothing_runs_that_asks(notebook: Notebook) -> None:
    result = notebook.run("try to make it")
    assert result.reply["status"] == "ok"
    assert any("AGENT_KERNEL_APPROVAL" in text for text in result.plain)
    assert lines(notebook) == "0"


def test_a_notebook_cannot_loosen_what_the_operator_set(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_APPROVAL", "ask")
    notebook = start()
    notebook.run(MODEL + "%approve auto\n%approve allow echo *")
    result = notebook.run("try to make it")
    assert NOT_RUN in result.plain
    assert lines(notebook) == "0"


def test_an_interrupted_question_leaves_nothing_done_and_a_chain(notebook: Notebook) -> None:
    sent = notebook.send("try to make it", allow_stdin=True)
    question(notebook)
    notebook.interrupt()
    assert notebook.collect(sent).reply["ename"] == "KeyboardInterrupt"
    assert lines(notebook) == "0"
    assert "Made, 1." in notebook.run("%approve auto\nmake the file").plain


def test_a_real_console_asks(jupyter: Path, tmp_path: Path) -> None:
    console = pexpect.spawn(
        sys.executable,
        ["-m", "jupyter_console", "--kernel=agent", "--simple-prompt"],
        cwd=str(tmp_path),
        encoding="utf-8",
        timeout=TIMEOUT,
        env=os.environ | {"TERM": "dumb"},
        dimensions=(60, 400),
    )
    try:
        console.expect(r"In \[1\]:")
        console.sendline(f"%model scripted/{SCRIPT}")
        console.expect(r"In \[2\]:")
        console.sendline("%approve ask")
        console.expect(r"In \[3\]:")
        console.sendline("make the file")
        console.expect_exact("May this run? [y]es, [n]o, [e]dit, [a]lways")
        console.sendline("y")
        console.expect_exact("Made, 1.")
        console.expect(r"In \[4\]:")
    finally:
        console.close(force=True)


@pytest.mark.parametrize(
    "wrong",
    [
        "%approve always",
        "%approve ask *",
        "%approve allow ?",
        "%approve deny " + "x" * 1001,
        "%approve deny --host",
        "%approve ask --host a b",
    ],
)
def test_what_approve_cannot_read_is_said(shared: Notebook, wrong: str) -> None:
    result = shared.run(wrong)
    assert result.reply["ename"] == "InvalidRequest"
    assert "%approve" in result.reply["evalue"]


def test_a_rule_is_repeated_in_words(notebook: Notebook) -> None:
    notebook.run("%approve --clear")
    said = notebook.run("%approve ask rm *").plain
    assert said == ["You are asked before `rm …`. All other commands run."]
    said = notebook.run("%approve allow git status").plain
    assert said == [
        "`git status` runs without asking; you are asked before `rm …`. All other commands run. "
        "The first rule that matches applies."
    ]
    assert notebook.run("%approve").plain[0].startswith(said[0])


def test_a_console_says_what_always_covers(notebook: Notebook) -> None:
    sent = notebook.send("plain one", allow_stdin=True)
    assert "[a]lways: any `touch …` command, until the kernel stops" in question(notebook)
    notebook.client.input("n")
    assert "Why not?" in question(notebook)
    notebook.client.input("")
    assert notebook.collect(sent).reply["status"] == "ok"


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        ([], ""),
        (["rm *"], "any `rm …` command"),
        (["rm *", "echo *"], "any `rm …` or `echo …` command"),
        (["a`b *"], "any ``a`b …`` command"),
    ],
)
def test_a_kind_in_words(patterns: list[str], words: str) -> None:
    assert kind_in_words(patterns) == words


def test_the_newest_rule_comes_first() -> None:
    policy = changed(changed(Policy(), "ask rm *"), "deny rm -rf *")
    assert policy.rules == (Rule("deny", "rm -rf *"), Rule("ask", "rm *"))
    assert changed(policy, "never") == Policy("deny", policy.rules)
    hosts = changed(Policy(), "deny --host *.Example.org:443")
    assert hosts == Policy(rules=(Rule("deny", host="*.example.org:443"),))


def test_a_policy_in_the_metadata() -> None:
    found = from_metadata({"agent_kernel": {"approval": "ask"}}, where="the notebook")
    assert found.approval == Policy("ask")
    with pytest.raises(InvalidRequest, match="auto, ask, never"):
        from_metadata({"agent_kernel": {"approval": "sometimes"}}, where="the notebook")


REQUEST = ApprovalRequest("mcpr_1", ("rm a", "rm b"), "The policy asks.", "rm *")


@pytest.mark.parametrize(
    ("typed", "decision"),
    [
        (["y"], Decision(True)),
        (["YES "], Decision(True)),
        (["what?", "", "y"], Decision(True)),
        (["a"], Decision(True, remember=True)),
        (["n", " "], Decision(False)),
        (["n", "no!"], Decision(False, reason="no!")),
        (["e", "", "rm c"], Decision(True, ("rm a", "rm c"))),
        (["e", "", ""], Decision(True)),
        ([], Decision(False, reason="The question was closed without an answer.")),
        (["n"], Decision(False, reason="The question was closed without an answer.")),
    ],
)
def test_a_question_by_lines(typed: list[str], decision: Decision) -> None:
    left = list(typed)

    async def line(_prompt: str) -> str:
        if not left:
            raise EOFError
        return left.pop(0)

    assert asyncio.run(LineAsker(line).ask(REQUEST)) == decision


@pytest.mark.parametrize("arguments", ["", "{", "[]", '{"reason": 7}', '{"reason": "<b>`x`</b>"}'])
def test_a_request_is_shown_whatever_is_in_it(arguments: str) -> None:
    item: dict[str, Any] = {"type": "mcp_approval_request", "arguments": arguments}
    bundle = render_item(item)
    assert bundle is not None
    assert "<b>`" not in bundle.data["text/html"]


class Asking:
    """A runtime that asks about the same command for ever."""

    def __init__(self, *, echo: bool = True) -> None:
        self.requests: list[dict[str, Any]] = []
        self._echo = echo

    async def respond(self, request: dict[str, Any]) -> AsyncIterator[Any]:
        self.requests.append(request)
        number = len(self.requests)
        response = SimpleNamespace(
            id=f"resp_{number}",
            agent_kernel=request.get("agent_kernel") if self._echo else None,
            output=[
                {
                    "type": "mcp_approval_request",
                    "id": f"mcpr_{number}",
                    "server_label": "agent_kernel",
                    "name": "shell",
                    "arguments": '{"commands": ["rm x"], "reason": "It asks."}',
                }
            ],
        )
        for kind in ("response.created", "response.completed"):
            yield SimpleNamespace(type=kind, response=response)


Published = list[tuple[str, dict[str, Any]]]


async def _through(approvals: NotebookApprovals, asking: Asking, request: dict[str, Any]) -> Published:
    published: Published = []
    outputs = CellOutputs(lambda kind, content: published.append((kind, content)))
    async for _ in approvals.through(asking.respond, request, outputs):  # type: ignore[arg-type]
        pass
    return published


def test_a_model_cannot_ask_nobody_for_ever() -> None:
    asking = Asking()
    outputs = asyncio.run(_through(NotebookApprovals(), asking, {"input": "x"}))
    assert len(asking.requests) == MOST_UNATTENDED + 1
    said = [content["data"]["text/plain"] for kind, content in outputs if kind == "display_data"]
    assert sum("No one can be asked here" in text for text in said) == 1
    assert "no one could answer" in said[-1]
    answers = [request["input"][0] for request in asking.requests[1:]]
    assert not any(answer["approve"] for answer in answers)
    assert [answer["approval_request_id"] for answer in answers][:2] == ["mcpr_1", "mcpr_2"]


def test_a_runtime_that_passes_over_the_policy_runs_nothing() -> None:
    request = {"input": "x", "agent_kernel": {"approval": Policy("ask").to_json()}}
    asking = Asking(echo=False)
    with pytest.raises(ConfigurationError, match="does not support approvals"):
        asyncio.run(_through(NotebookApprovals(), asking, request))
    assert len(asking.requests) == 1


def test_what_a_person_says_goes_to_the_runtime() -> None:
    said = [
        Decision(False, reason="no"),
        Decision(True, ("ls",)),
        Decision(True, remember=True),
    ]

    class Person:
        async def ask(self, request: ApprovalRequest) -> Decision:
            assert request == ApprovalRequest(request.id, ("rm x",), "It asks.", "any `rm …` command")
            if not said:
                raise asyncio.CancelledError  # the fourth is never asked: the kind is allowed
            return said.pop(0)

    approvals, asking = NotebookApprovals(), Asking()
    approvals.asker = Person()

    async def some() -> None:
        outputs = CellOutputs(lambda _kind, _content: None)
        async for _ in approvals.through(asking.respond, {"input": "x"}, outputs):  # type: ignore[arg-type]
            if len(asking.requests) == 5:
                return

    asyncio.run(some())
    answers = [dict(request["input"][0]) for request in asking.requests[1:]]
    assert [answer["approve"] for answer in answers] == [False, True, True, True]
    assert answers[0]["reason"] == "no"
    assert answers[1]["agent_kernel"] == {"commands": ["ls"]}
