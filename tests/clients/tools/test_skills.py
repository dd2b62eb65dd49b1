"""A skill in two turns of each client: its script runs, and what the agent tries to change stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr

from tests.clients.conftest import KEY, MODEL
from tests.clients.node import run_script
from tests.clients.tap import Tap
from tests.later import Later, agents

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(600)]  # the first run installs the packages

langchain_openai = Later("langchain_openai")

ASKED = ["count with the skill", "try to change the skill"]
SAID = ["It has 3 words.", "It is a Read-only file system."]
FILES: Any = [
    ("counting/SKILL.md", b"---\nname: counting\ndescription: Counts words.\n---\n"),
    ("counting/count.sh", b"#!/bin/sh\nwc -w < $1\n"),
]


@pytest.fixture
def environment(tap: Tap) -> Iterator[Any]:
    """The environment of a shell, with a skill that the openai package keeps."""
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0) as client:
        made = client.skills.create(files=FILES)
        yield {"type": "container_auto", "skills": [{"type": "skill_reference", "skill_id": made.id}]}
        client.skills.delete(made.id)


def test_openai_python(tap: Tap, environment: Any) -> None:
    shell: Any = {"type": "shell", "environment": environment}
    with OpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        first = client.responses.create(input=ASKED[0], tools=[shell])
        second = client.responses.create(input=ASKED[1], tools=[shell], previous_response_id=first.id)
    assert [first.output_text, second.output_text] == SAID


async def test_openai_agents(tap: Tap, environment: Any) -> None:
    config = agents.RunConfig(tracing_disabled=True)
    async with AsyncOpenAI(base_url=tap.url, api_key=KEY, max_retries=0, timeout=60) as client:
        model = agents.OpenAIResponsesModel(model="", openai_client=client)
        agent = agents.Agent("analyst", model=model, tools=[agents.ShellTool(environment=environment)])
        first = await agents.Runner.run(agent, ASKED[0], run_config=config)
        again = {"previous_response_id": first.last_response_id, "run_config": config}
        second = await agents.Runner.run(agent, ASKED[1], **again)
    assert [first.final_output, second.final_output] == SAID


def test_langchain(tap: Tap, environment: Any) -> None:
    chat = langchain_openai.ChatOpenAI(
        model="", base_url=tap.url, api_key=SecretStr(KEY), use_responses_api=True, max_retries=0,
        output_version="responses/v1",
    )  # fmt: skip
    model = chat.bind(tools=[{"type": "shell", "environment": environment}])
    first = model.invoke(ASKED[0])
    second = model.invoke(ASKED[1], previous_response_id=first.response_metadata["id"])
    assert [first.text, second.text] == SAID


async def test_ai_sdk(node: Path, tap: Tap) -> None:
    saw = await run_script(node, "tools/skills.mjs", tap.url, KEY, MODEL)
    assert saw == {"said": SAID, "name": "counting", "version": "1"}
