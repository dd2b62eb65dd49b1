"""Which upstreams get OpenAI's native shell tool, and which get a function."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError

from agent_kernel.models.catalogue import Models, NamedUpstream, Shell
from agent_kernel.models.responses import AS_FUNCTION, ResponsesModel
from agent_kernel.models.settings import ModelSettings
from agent_kernel.models.upstream import Upstream
from agent_kernel.protocol.deltas import Notice
from tests.tools.made import model_request

USER = {"role": "user", "content": "Hi"}


async def asked(models: Models, name: str, upstream: Any, **fields: Any) -> tuple[Any, list[str]]:
    """Ask a model; return the tools that its upstream got, and the notices."""
    upstream.responds()
    model, upstreams_name = models.resolve(name)
    deltas = [each async for each in model.stream(model_request(upstreams_name, [USER], **fields))]
    notices = [each.text for each in deltas if isinstance(each, Notice)]
    return [tool["type"] for tool in upstream.requests[-1].get("tools", ())], notices


def models_at(url: str, **fields: Any) -> Models:
    return Models(upstream_url=url, upstream_key="sk", default=None, **fields)


@pytest.mark.parametrize("name", ["openai/m", "m"])
async def test_other_server_gets_a_function_and_says_so(upstream: Any, name: str) -> None:
    models = models_at(upstream.url)
    notice = AS_FUNCTION.format(upstream.url)
    assert await asked(models, name, upstream) == (["function"], [notice])
    assert "\n" not in notice
    assert await asked(models, name, upstream) == (["function"], [])  # once for each model
    assert await asked(models, "openai/other", upstream) == (["function"], [notice])
    await models.aclose()


async def test_no_notice_without_a_shell(upstream: Any) -> None:
    models = models_at(upstream.url)
    plot = [{"type": "function", "name": "plot"}]
    assert await asked(models, "openai/m", upstream, shell=False, functions=plot) == (["function"], [])
    assert await asked(models, "openai/m", upstream, shell=False) == ([], [])
    await models.aclose()


async def test_responses_prefix_gets_a_function_silently(upstream: Any) -> None:
    models = models_at(upstream.url)
    assert await asked(models, "responses/m", upstream) == (["function"], [])
    await models.aclose()


async def test_openai_gets_the_native_shell(upstream: Any) -> None:
    models = models_at("https://api.openai.com/v1")
    model, _ = models.resolve("openai/m")
    assert isinstance(model, ResponsesModel)
    model._upstream.client.base_url = upstream.url
    assert await asked(models, "openai/m", upstream) == (["shell"], [])
    await models.aclose()


@pytest.mark.parametrize("dialect", ["openai", "responses"])
@pytest.mark.parametrize(("shell", "sent"), [("native", "shell"), ("function", "function")])
async def test_setting_decides(upstream: Any, dialect: Any, shell: Shell, sent: str) -> None:
    models = models_at(upstream.url, upstreams={"lab": NamedUpstream(dialect, upstream.url, None, shell)})
    assert await asked(models, "lab/m", upstream) == ([sent], [])
    await models.aclose()


@pytest.mark.parametrize(
    ("host", "is_openai"),
    [
        ("api.openai.com", True),
        ("eu.api.openai.com:443", True),
        ("API.OpenAI.com", True),
        ("notopenai.com", False),
        ("api.openai.com.example", False),
        ("x.openai.azure.com", False),
        ("127.0.0.1:8080", False),
        ("api.openai.com@proxy.example", False),
    ],
)
async def test_openai_is_known_by_its_host(host: str, is_openai: bool) -> None:
    upstream = Upstream(f"https://{host}/v1", "sk")
    assert upstream.is_openai is is_openai
    await upstream.aclose()


def test_shell_setting_is_checked() -> None:
    entry = {"url": "http://x/v1", "dialect": "openai", "shell": "native"}
    assert ModelSettings(upstreams={"lab": entry}).upstreams == {"lab": {**entry, "key": None}}
    for wrong in ({"shell": "nativ"}, {"dialect": "chat"}):
        with pytest.raises(TraitError, match="lab"):
            ModelSettings(upstreams={"lab": {**entry, **wrong}})
