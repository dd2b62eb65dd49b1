"""The client of an upstream: sends a request, and leaves its answer to be read."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.request import getproxies

import anyio
import httpx2
import openai

from agent_kernel.models.earlier import encoded
from agent_kernel.models.sending.connections import UpstreamConnections

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class UpstreamClient(Protocol):
    """The client of a provider's package, as far as an `Upstream` needs it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers that each request has, with those that hold the key."""
        ...

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """Send a request, and return the answer unread. Raises errors of the `openai` package."""
        ...

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        ...


class OpenAIClient:
    """The client of the `openai` package.

    Requests of turns go straight to its HTTP client, with the package's address, headers and errors: its own
    way there copies and checks each request, and took a third of the time until it was sent. It does not
    repeat a request, as it does not know whether an answer has begun; see `Upstream.persistently`.
    """

    def __init__(self, url: str, key: str, timeout: httpx2.Timeout) -> None:
        # Where the environment names a proxy, httpx2 must choose the transport.
        http = None if getproxies() else openai.DefaultAsyncHttpxClient(transport=UpstreamConnections())
        self.client = openai.AsyncOpenAI(
            base_url=url, api_key=key, max_retries=0, timeout=timeout, http_client=http
        )
        self._timeout = timeout
        self._headers: dict[str, str] = {}
        self._urls: dict[str, str] = {}

    @property
    def headers(self) -> Mapping[str, str]:
        """See `UpstreamClient`."""
        return self.client.auth_headers

    async def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """See `UpstreamClient`."""
        request = self._request(path, encoded(body) or _encode(body).encode())
        try:
            response = await self.client._client.send(request, stream=True)
            if response.is_success:
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
        except httpx2.TimeoutException as error:
            raise openai.APITimeoutError(request=request) from error
        except (httpx2.RequestError, ssl.SSLError, anyio.EndOfStream) as error:
            raise openai.APIConnectionError(request=request) from error
        raise self.client._make_status_error_from_response(response)

    def _request(self, path: str, content: bytes) -> httpx2.Request:
        if not self._headers:
            every = {**self.client.default_headers, **self.client.auth_headers}
            self._headers = {name: value for name, value in every.items() if isinstance(value, str)}
        if path not in self._urls:
            self._urls[path] = str(self.client._prepare_url(path))
        return self.client._client.build_request(
            "POST", self._urls[path], content=content, headers=self._headers, timeout=self._timeout
        )

    async def aclose(self) -> None:
        """See `UpstreamClient`."""
        await self.client.close()
