"""Skills over HTTP with the official SDK, on every backend."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response

COMMAND = "agent_kernel/shell"
"""The model that runs what it is told."""


def skill() -> Any:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("greet/SKILL.md", "---\nname: greet\ndescription: Greets.\n---\n")
        script = zipfile.ZipInfo("greet/greet.sh")
        script.external_attr = 0o100755 << 16
        archive.writestr(script, "#!/bin/sh\necho Good day\n")
    data = base64.b64encode(packed.getvalue()).decode()
    source = {"type": "base64", "media_type": "application/zip", "data": data}
    return {"type": "inline", "name": "greet", "description": "Greets.", "source": source}


def printed(response: Response) -> str:
    (output,) = [item for item in response.output if item.type == "shell_call_output"]
    return "".join(each.stdout + each.stderr for each in output.output)


def test_a_turn_brings_a_skill_along(client: OpenAI) -> None:
    shell: Any = {"type": "shell", "environment": {"type": "container_auto", "skills": [skill()]}}
    greet = "/home/agent/skills/greet/greet.sh"
    response = client.responses.create(model=COMMAND, input=greet, tools=[shell])
    assert printed(response) == "Good day\n"


def test_a_container_begins_with_a_skill(client: OpenAI) -> None:
    container = client.containers.create(name="mine", skills=[skill()])
    shell: Any = {
        "type": "shell",
        "environment": {"type": "container_reference", "container_id": container.id},
    }
    greet = "cd /home/agent/skills/greet && ./greet.sh"
    response = client.responses.create(model=COMMAND, input=greet, tools=[shell])
    assert printed(response) == "Good day\n"
    assert client.containers.files.list(container.id).data == []


def test_an_unknown_skill_is_a_bad_request(client: OpenAI) -> None:
    unknown: Any = {"type": "skill_reference", "skill_id": "skill_123"}
    shell: Any = {"type": "shell", "environment": {"type": "container_auto", "skills": [unknown]}}
    with pytest.raises(openai.BadRequestError, match="No such skill: 'skill_123'") as caught:
        client.responses.create(model=COMMAND, input="true", tools=[shell])
    assert caught.value.param == "tools[0].environment.skills[0]"
    with pytest.raises(openai.BadRequestError) as caught:
        client.containers.create(name="mine", skills=[unknown])
    assert caught.value.param == "skills[0]"
    assert client.containers.list().data == []
