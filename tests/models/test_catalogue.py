"""Which name means which model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import AgentKernelError, ConfigurationError, InvalidRequest
from agent_kernel.models.base import ModelRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.direct import DirectModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.scripted import ScriptedModel


def catalogue(**fields: Any) -> Models:
    return Models(**{"upstream_url": None, "upstream_key": "sk", "default": "scripted/demo", **fields})


@pytest.mark.parametrize(
    ("name", "kind", "upstreams_name"),
    [
        ("openai/gpt-5", ResponsesModel, "gpt-5"),
        ("gpt-5", ResponsesModel, "gpt-5"),
        ("responses/org/model:7b", ResponsesModel, "org/model:7b"),
        ("chat/org/model", ChatModel, "org/model"),
        ("ollama/qwen3:8b", ChatModel, "qwen3:8b"),
        ("scripted/demo", ScriptedModel, "demo"),
        ("scripted/first_questions", ScriptedModel, "first_questions"),
        ("agent_kernel/shell", DirectModel, "agent_kernel/shell"),
        (None, ScriptedModel, "demo"),
        ("", ScriptedModel, "demo"),
    ],
)
async def test_names(name: str | None, kind: type[object], upstreams_name: str) -> None:
    models = catalogue()
    body, upstream = models.resolve(name)
    assert type(body) is kind
    assert upstream == upstreams_name
    assert models.resolve(name)[0] is body
    await models.aclose()
    await models.aclose()


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("magic/wand", InvalidRequest, "openai/<model>, responses/<model>"),
        ("openai/", InvalidRequest, "ends at its prefix"),
        ("/x", InvalidRequest, "no model '/x'"),
        ("scripted/none", InvalidRequest, "demo, first_questions"),
        ("scripted/../../etc/passwd", InvalidRequest, "must end in .yaml"),
        ("scripted/none.yaml", ConfigurationError, "cannot be read"),
    ],
)
def test_wrong_names_say_which_there_are(name: str, kind: type[AgentKernelError], says: str) -> None:
    with pytest.raises(kind) as caught:
        catalogue().resolve(name)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["gpt-5", "openai/gpt-5", "responses/x", "chat/x"])
def test_without_an_upstream_it_says_what_to_set(name: str) -> None:
    with pytest.raises(InvalidRequest, match="AGENT_KERNEL_UPSTREAM_KEY") as caught:
        catalogue(upstream_key=None).resolve(name)
    assert (caught.value.param, caught.value.request_code) == ("model", "model_not_found")
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_UPSTREAM_KEY"):  # nobody asked for it
        catalogue(upstream_key=None, default=name).resolve(None)


async def test_a_url_alone_is_enough_and_ollama_needs_neither() -> None:
    models = catalogue(upstream_key=None, upstream_url="http://127.0.0.1:1/v1")
    assert isinstance(models.resolve("gpt-5")[0], ResponsesModel)
    alone = catalogue(upstream_key=None)
    assert isinstance(alone.resolve("ollama/x")[0], ChatModel)
    await models.aclose()
    await alone.aclose()


async def test_the_key_reaches_the_upstream_at_the_url(upstream: Any) -> None:
    models = catalogue(upstream_url=upstream.url)
    upstream.chats({"content": "ok"})
    model, name = models.resolve("ollama/m")
    async for _ in model.stream(ModelRequest(name, [{"role": "user", "content": "Hi"}])):
        pass
    assert upstream.keys == ["Bearer sk"]
    assert upstream.requests[0]["model"] == "m"
    await models.aclose()


def test_a_script_file_and_a_server_that_opens_none(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("turns: [{when: a, do: [{say: b}]}]")
    name = f"scripted/{path}"
    assert isinstance(catalogue().resolve(name)[0], ScriptedModel)
    with pytest.raises(InvalidRequest, match="no script files but its own"):
        catalogue(script_files=False).resolve(name)
    assert isinstance(catalogue(script_files=False, default=name).resolve(None)[0], ScriptedModel)


def test_no_default_means_that_a_model_must_be_named() -> None:
    models = catalogue(default=None)
    with pytest.raises(InvalidRequest, match="AGENT_KERNEL_MODEL") as caught:
        models.resolve(None)
    assert caught.value.param == "model"
    assert models.names()[0] == "scripted/demo"


def test_the_names_begin_with_the_default() -> None:
    names = catalogue(default="openai/gpt-5").names()
    assert names[0] == "openai/gpt-5"
    assert {"scripted/demo", "scripted/first_questions", "agent_kernel/shell"} <= set(names)
    assert len(names) == len(set(names))
