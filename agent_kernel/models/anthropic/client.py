"""The client of the Messages API: the `anthropic` package, an extra."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import anthropic
import httpx2
import openai
from anthropic._base_client import make_request_options

from agent_kernel.models.sending.client import UpstreamClient
from agent_kernel.models.upstream import Upstream

_REPEATABLE = {400: openai.BadRequestError, 422: openai.UnprocessableEntityError}
"""Statuses after which a caller may repeat the request without the refused part."""


class AnthropicUpstream(Upstream):
    """A server of the Messages API. Its address ends in `/v1`, or before it as that of the SDKs."""

    @property
    def tells_all(self) -> bool:
        """See `Upstream`."""
        return f".{urlsplit(self.url).hostname or ''}".endswith(".anthropic.com")

    def _base(self, url: str) -> str:
        return url.rstrip("/").removesuffix("/v1") + "/v1"

    def _client(self, url: str, key: str, timeout: httpx2.Timeout) -> UpstreamClient:
        return AnthropicClient(url, key, timeout)


class AnthropicClient:
    """Sends requests with the `anthropic` package, and raises its errors in the form of the `openai` package.

    See `models.upstream.UpstreamClient`. `url` ends in `/v1`.
    """

    def __init__(self, url: str, key: str, timeout: httpx2.Timeout) -> None:
        self._client = anthropic.AsyncAnthropic(
            base_url=url.removesuffix("/v1"),
            api_key=key,
            max_retries=0,
            timeout=timeout,
            open_telemetry=False,  # the server has spans of its own
        )
        self._client._custom_headers = {}  # the package reads them from the environment, for any address

    @property
    def headers(self) -> Mapping[str, str]:
        """See `UpstreamClient`."""
        version = {"anthropic-version": str(self._client.default_headers["anthropic-version"])}
        return {**self._client.auth_headers, **version}

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """See `UpstreamClient`. `betas` of the body become a header, as in the package."""
        betas = body.get("betas") or ()
        headers = {"anthropic-beta": ",".join(betas)} if betas else None
        sent = {name: value for name, value in body.items() if name != "betas"}
        try:
            answer = self._client.post(
                f"/v1{path}",
                options=make_request_options(extra_headers=headers),
                content=json.dumps(sent).encode(),  # a `body` would be copied, and searched for files
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=anthropic.AsyncStream[Any],
            )
            return cast(httpx2.Response, await answer)
        except anthropic.AnthropicError as error:
            raise _translated(error) from error.__cause__

    async def aclose(self) -> None:
        """See `UpstreamClient`."""
        await self._client.close()


def _translated(error: anthropic.AnthropicError) -> openai.OpenAIError:
    if isinstance(error, anthropic.APITimeoutError):
        return openai.APITimeoutError(error.request)
    if isinstance(error, anthropic.APIConnectionError):
        return openai.APIConnectionError(request=error.request)
    if isinstance(error, anthropic.APIStatusError):
        body = error.body
        said = body.get("error") if isinstance(body, Mapping) else None
        kind = _REPEATABLE.get(error.status_code, openai.APIStatusError)
        return kind(error.message, response=error.response, body=said or body)
    return openai.OpenAIError(str(error))
