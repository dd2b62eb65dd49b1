"""The OpenAPI document, the metrics, and what a fuzzer finds when it follows the document."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openai import OpenAI
from schemathesis import GenerationMode

from agent_kernel.server.openapi import schemas
from agent_kernel.tools.coverage import ITEMS

AUTH = {"Authorization": "Bearer sk-test"}


def test_the_document_names_every_endpoint(server: Any) -> None:
    root = server.url.removesuffix("/v1")
    document = httpx2.get(f"{root}/openapi.json", headers=AUTH).json()
    assert document["openapi"].startswith("3.1")
    served = {(route.path.replace(":path}", "}"), method) for route, method in _routes(server)}
    named = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert named == served
    ids = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(ids) == len(set(ids))
    assert all(
        operation["summary"] for methods in document["paths"].values() for operation in methods.values()
    )


def test_the_document_has_a_schema_for_every_item() -> None:
    shown = {each["$ref"].rpartition("/")[2] for each in schemas()["InputItem"]["anyOf"] if "$ref" in each}
    types = {
        word for name in shown for word in [schemas()[name]["properties"]["type"]] for word in _words(word)
    }
    accepted = {kind for kind, each in ITEMS.items() if each.status != "refused"}
    assert accepted - types == set()


def _words(schema: Any) -> set[str]:
    """The words that a schema of `type` allows."""
    inner = [word for each in schema.get("anyOf", ()) for word in _words(each)]
    return {*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ()), *inner}


def _routes(server: Any) -> list[tuple[Any, str]]:
    from agent_kernel.server.routes import ROUTES

    http: list[Any] = [route for route in ROUTES if hasattr(route, "methods")]
    return [(route, method) for route in http for method in route.methods - {"HEAD"}]


def test_metrics_count_what_was_done(client: OpenAI, server: Any) -> None:
    root = server.url.removesuffix("/v1")
    client.responses.create(input="make a file", tools=[{"type": "shell"}])
    client.responses.create(input="out of script")
    response = httpx2.get(f"{root}/metrics", headers=AUTH)
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert float(values['agent_kernel_turns_total{status="completed"}']) == 1
    assert float(values['agent_kernel_turns_total{status="failed"}']) == 1
    assert float(values['agent_kernel_commands_total{outcome="success"}']) == 2
    assert float(values["agent_kernel_containers"]) == 1
    assert float(values["agent_kernel_turn_seconds_sum"]) > 0
    assert float(values["agent_kernel_turn_seconds_count"]) == 2
    assert float(values['agent_kernel_turn_seconds_bucket{le="+Inf"}']) == 2
    assert float(values["process_resident_memory_bytes"]) > 0
    assert httpx2.get(f"{root}/metrics").status_code == 401


@pytest.mark.bubblewrap
@pytest.mark.parametrize("backend", ["bubblewrap"], indirect=True)
def test_fuzzer_tries_each_operation_a_few_times(server: Any) -> None:
    """Send the simplest request and one made from a fixed seed: making requests takes most of the time.

    A forbidden request takes longest to make, so only the simplest one is sent.
    """
    _fuzz_all(server, examples=2, quick=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fuzzer_finds_no_unforeseen_error(server: Any) -> None:
    _fuzz_all(server, examples=30)


def _fuzz_all(server: Any, examples: int, *, quick: bool = False) -> None:
    """Send allowed requests and forbidden ones; if quick, the simplest forbidden one if there is a body."""
    root = server.url.removesuffix("/v1")
    schema = schemathesis.openapi.from_url(f"{root}/openapi.json", headers=AUTH)
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # or the document is wrong
        if operation.path.endswith(("/content", "/openapi.json")):
            continue
        _fuzz(operation, root, GenerationMode.POSITIVE, examples)
        if operation.body or not quick:
            _fuzz(operation, root, GenerationMode.NEGATIVE, 1 if quick else examples)


def _fuzz(operation: Any, root: str, mode: GenerationMode, examples: int) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Any) -> None:
        response = case.call(base_url=root, headers=AUTH)
        assert response.status_code < 500, (case.as_curl_command(), response.text)
        if response.status_code >= 400 and response.headers["content-type"] == "application/json":
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    with suppress(Unsatisfiable):  # nothing can be wrong about such a request
        one()
