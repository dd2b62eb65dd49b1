"""The prefix `anthropic/`: its settings, its missing extra, and what the environment must not add."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from agent_kernel.cli.compose import models
from agent_kernel.config.sources import load
from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.models.anthropic.model import AnthropicModel
from tests.models.anthropic.messages_server import KEY, MessagesServer
from tests.models.anthropic.shapes import text
from tests.tools.made import model_request


async def test_key_and_address_come_from_the_environment(
    messages: MessagesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-environment")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-environment")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-secret: s3cret")
    settings = load(environ={"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": messages.url}, folders=[])
    assert settings.model.chosen() is None
    assert KEY in settings.secrets()
    catalogue = models(settings)
    model, name = catalogue.resolve("anthropic/claude-test")
    assert isinstance(model, AnthropicModel)
    messages.says(text("Yes."))
    async for _ in model.stream(model_request(name, [{"role": "user", "content": "Hi"}])):
        pass
    [headers] = messages.headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert not {"x-secret", "x-api-key"} & headers.keys()
    await catalogue.aclose()


async def test_named_upstream_may_speak_the_messages_api(messages: MessagesServer) -> None:
    upstreams = f'{{"claude": {{"url": "{messages.url}/v1", "key": "{KEY}", "dialect": "anthropic"}}}}'
    catalogue = models(load(environ={"AGENT_KERNEL_UPSTREAMS": upstreams}, folders=[]))
    model, name = catalogue.resolve("claude/claude-test")
    assert isinstance(model, AnthropicModel)
    assert (await model.server(name)).served
    await catalogue.aclose()


def test_missing_key_names_the_setting() -> None:
    catalogue = models(load(environ={"OPENAI_API_KEY": "sk"}, folders=[]))
    with pytest.raises(InvalidRequest, match="Set ANTHROPIC_API_KEY"):
        catalogue.resolve("anthropic/claude-test")


def test_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "anthropic" else found(name, *rest)
    )
    catalogue = models(load(environ={"ANTHROPIC_API_KEY": KEY}, folders=[]))
    with pytest.raises(ConfigurationError, match=r"pip install 'jupyter-agent-kernel\[anthropic\]'"):
        catalogue.resolve("anthropic/claude-test")
