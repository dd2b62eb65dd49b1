"""docs/api.md's table of statuses is what the server answers: every row, and no other status."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent_kernel import errors
from agent_kernel.errors import AgentKernelError
from agent_kernel.sandboxes.toolbox import Toolbox
from agent_kernel.server.errors import STATUS, described
from tests.conftest import CHECKOUT
from tests.docs.tables import rows, section
from tests.server.keyed import SHELL, keyed_server

PACKAGE = CHECKOUT / "agent_kernel"
CLASSES: dict[str, type[AgentKernelError]] = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each) and issubclass(each, AgentKernelError)
}
ABSTRACT = {"AgentKernelError", "ModelError", "SandboxError"}
"""Bases that are never raised themselves."""


def documented() -> dict[tuple[int, str], str]:
    table = rows(section("api.md", "Errors"), "status", "code", "when")
    found = {(int(status), code): when for status, code, when in table}
    assert len(found) == len(table), "a row is there twice"
    return found


def possible() -> set[tuple[int, str]]:
    """Every status and code that the source can answer with."""
    found = set()
    for name, each in CLASSES.items():
        if name not in ABSTRACT:
            status, error = described(each("x"))
            found.add((status, error["code"] or ""))
    found.discard((429, "limit_reached"))  # the default code, which no limit uses
    for room in ("egress", "models", "policy", "protocol", "runtime", "server", "store", "tools"):
        for path in (PACKAGE / room).rglob("*.py"):
            found |= set(_coded(path))
    return found


def _coded(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        given = {each.arg: each.value for each in node.keywords}
        code = _constant(given.get("code"), constants)
        if node.func.id in CLASSES and code:
            cls = CLASSES[node.func.id]
            yield next(status for base, status in STATUS if issubclass(cls, base)), code
        elif node.func.id == "error_response":
            status = _constant(node.args[0], constants)
            if status is not None:
                yield int(status), code or ""


def _constant(node: ast.expr | None, constants: dict[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    return constants.get(node.id) if isinstance(node, ast.Name) else None


BY_THE_FRAMEWORKS = {(404, ""), (405, ""), (408, "")}
"""Answered for Starlette's and uvicorn's own refusals; tests/server tries each of them."""


def test_status_table_lists_what_the_source_can_answer() -> None:
    listed = set(documented())
    assert listed == possible() | BY_THE_FRAMEWORKS


def test_every_error_class_has_a_status_row() -> None:
    raised = [cls for name, cls in CLASSES.items() if name not in ABSTRACT]
    assert all(described(cls("x"))[0] in {status for status, _ in documented()} for cls in raised)
    assert [cls for cls in raised if described(cls("x"))[0] == 500] == [errors.ConfigurationError]


def test_unknown_model_is_model_not_found(tmp_path: Path, toolbox: Toolbox) -> None:
    code = next(code for (_, code), when in documented().items() if "no such model" in when)
    with keyed_server(tmp_path, toolbox, {}) as server:
        for model in ("nope/x", "openai/x", "openai/", "scripted/nope", "scripted//etc/passwd.yaml", "gpt"):
            response = server.ask("", "POST", "/v1/responses", json={"model": model, "input": "x"})
            error = response.json()["error"]
            assert (model, response.status_code, error["code"]) == (model, 400, code)
            assert error["param"] == "model"
        for method, path, status in (("GET", "/x", 404), ("PUT", "/v1/files", 405)):
            answer = server.ask("", method, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, None)
            assert path in answer.json()["error"]["message"]
            assert (status, "") in documented()


def test_missing_toolbox_is_503_image_missing(tmp_path: Path) -> None:
    with keyed_server(tmp_path, Toolbox(tmp_path / "nothing"), {}) as server:
        turn = {"model": "agent_kernel/shell", "input": "ls", "tools": [SHELL]}
        for path, body in (("/v1/containers", {"name": "x"}), ("/v1/responses", turn)):
            response = server.ask("", "POST", path, json=body)
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (503, "image_missing")
            assert (503, "image_missing") in documented()
            assert error["type"] == "server_error"


@pytest.mark.parametrize("name", sorted(set(CLASSES) - ABSTRACT))
def test_error_class_maps_to_its_documented_status(name: str) -> None:
    status, error = described(CLASSES[name]("what happened"))
    assert (status, error["code"] or "") in documented() or error["code"] == "limit_reached"
    assert set(error) == {"message", "type", "param", "code"}
    json.dumps(error)


def test_internal_errors_say_only_where_the_details_are(
    tmp_path: Path, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keyed_server(tmp_path, toolbox, {}) as server:

        async def broken() -> None:
            raise RuntimeError("sk-secret")

        monkeypatch.setattr(server.runtime, "models", broken)
        monkeypatch.setattr(type(server.runtime), "for_key", lambda self, key: self)
        response: httpx2.Response = server.ask("", "GET", "/v1/models")
    assert response.status_code == 500
    assert "server log" in response.json()["error"]["message"]
    assert "sk-secret" not in response.text
