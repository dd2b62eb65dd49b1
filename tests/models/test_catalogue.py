"""Which name means which model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import AgentKernelError, ConfigurationError, InvalidRequest, UpstreamRefused
from agent_kernel.models.base import HasWindow
from agent_kernel.models.catalogue import Models, NamedUpstream, UpstreamOptions
from agent_kernel.models.chat import ChatModel
from agent_kernel.models.direct import DirectModel
from agent_kernel.models.responses import ResponsesModel
from agent_kernel.models.scripted import ScriptedModel
from tests.tools.made import model_request


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
        ("agent_kernel/python", DirectModel, "agent_kernel/python"),
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
        ("openai/", InvalidRequest, "nothing after its prefix"),
        ("/x", InvalidRequest, "No such model: '/x'"),
        ("scripted/none", InvalidRequest, "demo, first_questions"),
        ("scripted/../../etc/passwd", InvalidRequest, "ends in .yaml"),
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
    async for _ in model.stream(model_request(name, [{"role": "user", "content": "Hi"}])):
        pass
    assert upstream.keys == ["Bearer sk"]
    assert upstream.requests[0]["model"] == "m"
    await models.aclose()


def test_a_script_file_and_a_server_that_opens_none(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("turns: [{when: a, do: [{say: b}]}]")
    name = f"scripted/{path}"
    assert isinstance(catalogue().resolve(name)[0], ScriptedModel)
    with pytest.raises(InvalidRequest, match="only its packaged scripts"):
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


async def test_the_prefix_chooses_the_upstream_with_its_own_key(upstream: Any) -> None:
    """One address stands for three: what tells them apart is what each is asked, and with which key."""
    named = {
        "fast": NamedUpstream("chat", upstream.url, "sk-fast"),
        "deep": NamedUpstream("responses", upstream.url, "sk-deep"),
        "ollama": NamedUpstream("chat", upstream.url),
    }
    models = catalogue(upstream_url=upstream.url, upstream_key="sk-rest", upstreams=named)
    for name, dialect in (
        ("fast/a/b", "chat"),
        ("deep/c", "responses"),
        ("ollama/d", "chat"),
        ("chat/e", "chat"),
    ):
        if dialect == "chat":
            upstream.chats({"content": "ok"})
        else:
            upstream.responds()
        model, upstreams_name = models.resolve(name)
        request = model_request(upstreams_name, [{"role": "user", "content": "Hi"}])
        async for _ in model.stream(request):
            pass
    assert [request["model"] for request in upstream.requests] == ["a/b", "c", "d", "e"]
    assert upstream.keys == [f"Bearer {key}" for key in ("sk-fast", "sk-deep", "none", "sk-rest")]
    endings = ["/chat/completions", "/responses", "/chat/completions", "/chat/completions"]
    assert upstream.paths == [f"/v1{ending}" for ending in endings]
    with pytest.raises(InvalidRequest) as caught:
        models.resolve("slow/a")
    assert caught.value.hint == (
        "Model names have the forms fast/<model>, deep/<model>, openai/<model>, responses/<model>, "
        "chat/<model>, anthropic/<model>, ollama/<model>, scripted/<file>, replay/<file>, "
        "agent_kernel/shell, agent_kernel/python."
    )
    await models.aclose()


async def test_a_named_upstream_that_refuses_its_key_is_named(upstream: Any) -> None:
    models = catalogue(upstreams={"fast": NamedUpstream("chat", upstream.url, "sk-fast")})
    upstream.refuses(401, "no")
    model, name = models.resolve("fast/a")
    with pytest.raises(UpstreamRefused) as caught:
        await anext(model.stream(model_request(name, [{"role": "user", "content": "Hi"}])))
    assert caught.value.hint == "Set the key of 'fast' in AGENT_KERNEL_UPSTREAMS to a valid key."
    assert "sk-fast" not in str(caught.value)
    await models.aclose()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("openai/gpt-4o", 128_000),
        ("gpt-4o-2024-08-06", 128_000),
        ("openai/gpt-4o-of-my-own", None),
        ("small/any", 4096),
        ("large/gpt-4o", None),
        ("scripted/demo", None),
    ],
)
async def test_window_of_a_model(name: str, size: int | None) -> None:
    url = "http://127.0.0.1:9/v1"
    upstreams = {
        "small": NamedUpstream("chat", url, context_window=4096),
        "large": NamedUpstream("responses", url),
    }
    models = catalogue(upstreams=upstreams)
    model, upstream_name = models.resolve(name)
    assert (model.window(upstream_name) if isinstance(model, HasWindow) else None) == size
    await models.aclose()


@pytest.mark.parametrize("name", ["openai/gpt-4o", "chat/m", "ollama/m", "large/m"])
async def test_window_that_is_set_wins(name: str) -> None:
    upstreams = {"large": NamedUpstream("responses", "http://127.0.0.1:9/v1")}
    models = catalogue(upstreams=upstreams, options=UpstreamOptions(context_window=2048))
    model, upstream_name = models.resolve(name)
    assert isinstance(model, HasWindow)
    assert model.window(upstream_name) == 2048
    await models.aclose()
