"""A server of the Messages API, and the model that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from agent_kernel.models.anthropic.model import AnthropicModel
from agent_kernel.models.retry import RetryPolicy
from tests.later import anthropic_client
from tests.models.anthropic.messages_server import KEY, MessagesServer, serving


@pytest.fixture
def messages() -> Iterator[MessagesServer]:
    """Run a server. A request that the API would refuse fails the test."""
    with serving() as server:
        yield server
    assert server.faults == []


@pytest.fixture
async def model(messages: MessagesServer) -> AsyncIterator[AnthropicModel]:
    made = model_at(messages)
    yield made
    await made.aclose()


def model_at(server: MessagesServer, *, retries: int = 0, key: str | None = KEY) -> AnthropicModel:
    """Return the model that asks a server."""
    retry = RetryPolicy(retries, first=0)
    return AnthropicModel(anthropic_client.AnthropicUpstream(server.url, key, retry=retry))
