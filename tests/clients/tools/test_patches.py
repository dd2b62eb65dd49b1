"""Patches in two turns each: LangChain and the AI SDK apply them, or have them applied in the container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from pydantic import SecretStr

from tests.clients.conftest import KEY, MODEL
from tests.clients.node import run_script
from tests.clients.tap import Tap
from tests.later import Later, agents

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(600)]  # the first run installs the packages

langchain_openai = Later("langchain_openai")
messages = Later("langchain_core.messages")

SAID = ["The report is fixed.", "The report is gone."]
IN_CONTAINER: Any = {"type": "apply_patch", "agent_kernel": {"environment": {"type": "container_auto"}}}


@pytest.fixture
def chat(tap: Tap) -> Any:
    return langchain_openai.ChatOpenAI(
        model="", base_url=tap.url, api_key=SecretStr(KEY), use_responses_api=True, max_retries=0,
        output_version="responses/v1",
    )  # fmt: skip


def applied(files: dict[str, str], call: Any) -> dict[str, Any]:
    """Apply the patch of a call with the Agents SDK's own applier, and return the item that says so."""
    operation, answer = call["operation"], {"type": "apply_patch_call_output", "call_id": call["call_id"]}
    path = operation["path"]
    try:
        match operation["type"]:
            case "create_file":
                files[path] = agents.apply_diff("", operation["diff"], "create")
            case "update_file":
                files[path] = agents.apply_diff(files[path], operation["diff"])
            case _:
                del files[path]
    except ValueError as error:
        return {**answer, "status": "failed", "output": str(error)}
    return {**answer, "status": "completed"}


def test_langchain_applies_patches(chat: Any) -> None:
    model = chat.bind_tools([{"type": "apply_patch"}])
    files: dict[str, str] = {}
    said: list[str] = []
    states: list[str] = []
    given: Any = [messages.HumanMessage("fix the report")]
    previous: dict[str, Any] = {}
    while len(said) < 2:
        answer = model.invoke(given, **previous)
        previous = {"previous_response_id": answer.response_metadata["id"]}
        calls = [each for each in answer.content if each["type"] == "apply_patch_call"]
        if calls:
            outputs = [applied(files, each) for each in calls]
            states += [each["status"] for each in outputs]
            given = [messages.HumanMessage(content=outputs)]
        else:
            said.append(answer.text)
            assert files == ({"report.txt": "total: 10\nunit: mm\n"} if len(said) == 1 else {})
            given = [messages.HumanMessage("clean up the report")]
    assert said == SAID
    assert states == ["completed", "completed", "failed", "completed"]


def test_langchain_has_them_applied_in_the_container(chat: Any, tap: Tap) -> None:
    model = chat.bind_tools([IN_CONTAINER])
    first = model.invoke("fix the report")
    second = model.invoke("clean up the report", previous_response_id=first.response_metadata["id"])
    assert [first.text, second.text] == SAID
    results = [
        (each["status"], each["output"])
        for answer in (first, second)
        for each in answer.content
        if each["type"] == "apply_patch_call_output"
    ]
    assert [status for status, _ in results] == ["completed", "completed", "failed", "completed"]
    assert results[1][1] == "Updated report.txt (+1 -1)."
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0) as client:
        stored: Any = client.responses.retrieve(second.response_metadata["id"]).to_dict()
        container = stored["tools"][0]["agent_kernel"]["environment"]["container_id"]
        assert client.containers.files.list(container).data == []


async def test_ai_sdk_applies_patches(node: Path, tap: Tap) -> None:
    saw = await run_script(node, "tools/apply-patch.mjs", tap.url, KEY, MODEL)
    assert saw == {
        "said": SAID,
        "after": {"report.txt": "total: 10\nunit: mm\n"},
        "files": {},
        "types": ["create_file", "update_file", "update_file", "delete_file"],
    }
