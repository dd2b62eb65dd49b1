"""Questions about a container's Python session over HTTP: with a key, on containers of one's own, audited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent_kernel.sandboxes.toolbox import Toolbox
from tests.server.keyed import NONE, Keyed, keyed_server

pytestmark = pytest.mark.bubblewrap


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, toolbox: Toolbox) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("sessions")
    with keyed_server(folder, toolbox, {"alice": NONE, "bob": NONE}) as server:
        yield server


@pytest.fixture(scope="module")
def container(server: Keyed) -> str:
    """A container of alice, with a session."""
    body = {
        "model": "agent_kernel/python",
        "input": "answer = 6 * 7\nanswer",
        "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}],
        "include": ["code_interpreter_call.outputs"],
    }
    (item,) = server.ask("alice", "POST", "/v1/responses", json=body).json()["output"]
    assert item["outputs"] == [{"type": "logs", "logs": "42\n"}]
    return str(item["container_id"])


def asked(server: Keyed, container: str, question: Any, name: str = "alice", **more: Any) -> Any:
    path = f"/v1/containers/{container}/agent_kernel/session"
    return server.ask(name, "POST", path, json=question, **more)


def test_a_session_answers_its_owner(server: Keyed, container: str) -> None:
    question = {"ask": "complete", "code": "answ", "cursor": 4}
    assert asked(server, container, question).json() == {
        "object": "agent_kernel.session", "session": "running", "matches": ["answer"], "start": 0, "end": 4,
    }  # fmt: skip
    rows = asked(server, container, {"ask": "variables"}).json()["rows"]
    assert [row[:2] for row in rows] == [["answer", "int"]]


def test_others_and_strangers_get_nothing(server: Keyed, container: str) -> None:
    assert asked(server, container, {"ask": "end"}, "bob").status_code == 404
    assert asked(server, "cntr_none", {"ask": "end"}).status_code == 404
    wrong = asked(server, container, {"ask": "end"}, headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    assert asked(server, container, {"ask": "variables"}).json()["count"] == 1


@pytest.mark.parametrize("question", [{}, {"ask": "run", "code": "1"}, {"ask": "complete", "code": 1}, []])
def test_wrong_questions_are_refused(server: Keyed, container: str, question: Any) -> None:
    found = asked(server, container, question)
    assert found.status_code == 400
    assert found.json()["error"]["message"]


def test_an_end_is_audited_and_ends_it(server: Keyed, container: str) -> None:
    assert asked(server, container, {"ask": "end"}).json()["session"] == "ended"
    assert asked(server, container, {"ask": "variables"}).json() == {
        "object": "agent_kernel.session",
        "session": "absent",
    }
    lines = server.audited()
    (line,) = [line for line in lines if line["event"] == "session"]
    assert (line["container"], line["asked"], line["key"]) == (container, "end", "alice")
    calls = [line for line in lines if line["event"] == "call"]
    assert [(line["tool"], "6 * 7" in line["arguments"]) for line in calls] == [("code_interpreter", True)]


def test_code_that_cannot_run_ends_the_turn_with_its_reason(server: Keyed) -> None:
    tools = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    body = {"model": "agent_kernel/python", "input": "x" * 1_000_001, "tools": tools}
    found = server.ask("alice", "POST", "/v1/responses", json=body).json()
    assert found["status"] == "failed"
    assert found["error"]["message"].startswith("This cannot run: its code has more than 1000000 characters")
