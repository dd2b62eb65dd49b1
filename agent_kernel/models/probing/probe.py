"""Questions to a model's server that cost no tokens: its models, their tools, context and sight.

Servers report different things. A question without an answer stays unknown; nothing is guessed.

| server | names | tools | context | pictures |
|---|---|---|---|---|
| any | `GET /models` | fields of the list, see `_lists_tools` | see `_CONTEXT` | see `_lists_pictures` |
| llama.cpp | any name is answered | `GET /props`: `chat_template_caps` | `n_ctx` | `modalities` |
| Ollama | `GET /models` | `POST /api/show`: `capabilities` | `num_ctx` | `capabilities` |

The answers are untrusted: their size and time are bounded, and what is shown of them is one short, printable
line without the key.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import openai

from agent_kernel.errors import AgentKernelError, UpstreamUnavailable
from agent_kernel.models.server_report import ServerReport, inert
from agent_kernel.models.upstream import Upstream

SECONDS = 5.0
"""The longest wait for one answer, to its last byte."""

LONGEST_ANSWER = 4 << 20
"""Bytes. The list of a large provider has about one million."""

_LARGEST_CONTEXT = 10**9
_REFUSALS = (401, 408, 409, 429)
_COMPARED = 1000
"""Names that are searched for a similar one."""
_PARAMETERS = 4096
"""Characters of Ollama's parameters that are searched."""

_CONTEXT = ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens")
"""Fields of a listed model with its context in tokens: vLLM and SGLang, OpenRouter, Groq, Mistral,
Anthropic."""


async def probe(upstream: Upstream, name: str) -> ServerReport:
    """Ask the server about the model `name`, or only whether it answers if `name` is empty.

    Takes at most three times `SECONDS`.

    A failure of the server becomes a `problem` and is never raised. Cancelling ends the request.
    """
    report = ServerReport(inert(upstream.address), inert(name), assumed=upstream.window(name))
    async with openai.DefaultAsyncHttpxClient(timeout=SECONDS, follow_redirects=True) as client:
        asked = _Questions(upstream, client)
        try:
            models = await asked.models()
        except AgentKernelError as error:
            return replace(report, problem=inert(error.message, 300), hint=error.hint)
        if not name:
            return report
        report = _from_list(report, models, name)
        if not upstream.tells_all:
            report = await _from_details(report, asked, models or (), name)
    if report.served is False:
        return _not_served(report, [asked.shown(each["id"]) for each in models or ()])
    return report


async def detail(upstream: Upstream, path: str) -> dict[str, Any]:
    """Return a JSON object that the server has at a path; {} if it has none, or gives no answer."""
    async with openai.DefaultAsyncHttpxClient(timeout=SECONDS, follow_redirects=True) as client:
        return await _Questions(upstream, client).detail("GET", path)


class _Questions:
    """The requests to one server."""

    def __init__(self, upstream: Upstream, client: httpx2.AsyncClient) -> None:
        self._upstream = upstream
        self._client = client
        self._base = upstream.url.rstrip("/")
        self._root = self._base.removesuffix("/v1")

    def shown(self, text: str) -> str:
        """Return text from the server, inert and without the key."""
        return inert(self._upstream.scrub(text))

    async def models(self) -> list[Mapping[str, Any]] | None:
        """Return the listed models, each with an `id`, or None if the server has no complete list.

        Raises `UpstreamUnavailable` and `UpstreamRefused`.
        """
        response, body = await self._asked("GET", f"{self._base}/models")
        status = response.status_code
        if status in _REFUSALS or (status >= 500 and status != 501):
            error = body.get("error") if isinstance(body, dict) else None
            raise self._upstream.refusal(openai.APIStatusError("", response=response, body=error))
        if status >= 300 and isinstance(body, dict):
            return None
        listed = body.get("data") if isinstance(body, dict) else None
        if not isinstance(listed, list):
            # Also 403 and 404 without JSON: they come from web servers and proxies.
            raise UpstreamUnavailable(
                f"{self._upstream.address} answers ({status}), but not with a list of models.",
                hint="Check that this is the address of the API; most end in /v1.",
            )
        return None if body.get("has_more") else [each for each in listed if _has_name(each)]

    async def detail(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return a JSON object from a path outside the API, or {} if the server does not provide one."""
        try:
            response, answer = await self._asked(method, self._root + path, body)
        except UpstreamUnavailable:
            return {}
        return answer if response.status_code == 200 and isinstance(answer, dict) else {}

    async def _asked(self, method: str, url: str, body: Any = None) -> tuple[httpx2.Response, Any]:
        """Return the response and its JSON, or None if the body is not JSON.

        Raises `UpstreamUnavailable` if no complete answer of bounded size arrives in `SECONDS`.
        """
        headers = {"Accept-Encoding": "identity", **self._upstream.sender.headers}
        request = self._client.build_request(method, url, headers=headers, json=body)
        try:
            async with asyncio.timeout(SECONDS):
                response = await self._client.send(request, stream=True)
                try:
                    return response, _json(await _bounded(response))
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException):
            raise self._silent(f"did not answer within {SECONDS:g} seconds") from None
        except _Unbounded as error:
            raise self._silent(str(error)) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            failure = openai.APIConnectionError(request=request)
            failure.__cause__ = error
            raise self._upstream.refusal(failure) from None

    def _silent(self, why: str) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            f"{self._upstream.address} {why}.",
            hint="Check that a model server runs at this address, and try again.",
        )


class _Unbounded(Exception):
    """An answer that is not read, because it may be too long."""


async def _bounded(response: httpx2.Response) -> bytes:
    """Return the body. Raises `_Unbounded` if it is too long, or compressed and possibly too long."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _Unbounded("sends a compressed answer, although the request did not ask for compression")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > LONGEST_ANSWER:
            raise _Unbounded(f"sends an answer of more than {LONGEST_ANSWER >> 20} MB")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # not JSON, or JSON that nothing can use
        return None


def _from_list(report: ServerReport, models: Sequence[Mapping[str, Any]] | None, name: str) -> ServerReport:
    """Add what the list of models says. `models` None: there is no list."""
    if models is None:
        return report
    entry = next((each for each in models if _is_called(each["id"], name)), None)
    if entry is None:
        return replace(report, served=False)
    context = next(filter(None, (_tokens(entry.get(field)) for field in _CONTEXT)), None)
    found = replace(report, served=True, tools=_lists_tools(entry), context=context)
    return replace(found, pictures=_lists_pictures(entry))


def _has_name(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), str)


def _is_called(listed: str, name: str) -> bool:
    """Return whether a listed name means the model: exactly, with Ollama's default tag, or as a wildcard."""
    return listed in (name, f"{name}:latest") or (listed.endswith("*") and name.startswith(listed[:-1]))


def _lists_tools(entry: Mapping[str, Any]) -> bool | None:
    """Return whether the list says that the model accepts tools, as OpenRouter and Mistral do."""
    parameters, able = entry.get("supported_parameters"), entry.get("capabilities")
    if isinstance(parameters, list):
        return "tools" in parameters
    calls = able.get("function_calling") if isinstance(able, dict) else None
    return calls if isinstance(calls, bool) else None


def _lists_pictures(entry: Mapping[str, Any]) -> bool | None:
    """Return whether the list says that the model sees pictures, as OpenRouter, Mistral and Anthropic do."""
    built, able = entry.get("architecture"), entry.get("capabilities")
    kinds = built.get("input_modalities") if isinstance(built, dict) else None
    if isinstance(kinds, list):
        return "image" in kinds
    sees = able.get("vision", able.get("image_input")) if isinstance(able, dict) else None
    sees = sees.get("supported") if isinstance(sees, dict) else sees
    return sees if isinstance(sees, bool) else None


async def _from_details(
    report: ServerReport, asked: _Questions, models: Sequence[Mapping[str, Any]], name: str
) -> ServerReport:
    """Add what llama.cpp and Ollama report on their own paths."""
    props = await asked.detail("GET", "/props")
    defaults = props.get("default_generation_settings")
    if isinstance(defaults, dict):
        if props.get("role") == "router":  # it serves several models, and asking about one may load it
            return report
        able = props.get("chat_template_caps")
        tools = able.get("supports_tools") if isinstance(able, dict) else None
        kinds = props.get("modalities")
        sees = kinds.get("vision") if isinstance(kinds, dict) else None
        others = [each["id"] for each in models if not _is_called(each["id"], name)]
        return replace(
            report,
            served=True,
            alias=asked.shown(others[0]) if others and not report.served else None,
            tools=tools if isinstance(tools, bool) else report.tools,
            context=_tokens(defaults.get("n_ctx")) or report.context,
            pictures=sees if isinstance(sees, bool) else report.pictures,
        )
    shown = await asked.detail("POST", "/api/show", {"model": name})
    able = shown.get("capabilities")
    if not isinstance(able, list):
        return report
    window = re.search(r"(?m)^num_ctx\s+(\d{1,9})$", str(shown.get("parameters") or "")[:_PARAMETERS])
    return replace(
        report,
        tools="tools" in able,
        pictures="vision" in able,
        context=_tokens(int(window[1])) if window else report.context,
    )


def _tokens(value: object) -> int | None:
    """Return `value` if it can be a number of tokens, else None."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value <= _LARGEST_CONTEXT else None


def _not_served(report: ServerReport, listed: Sequence[str]) -> ServerReport:
    near = difflib.get_close_matches(report.name, listed[:_COMPARED], n=3, cutoff=0.3) or listed[:3]
    models = f"It lists {', '.join(near)}" if near else "It lists no models"
    more = f" and {len(listed) - len(near):,} more" if len(listed) > len(near) else ""
    return replace(
        report,
        problem=f"{report.address} does not serve {report.name}. {models}{more}.",
        hint="Choose a listed model, or load this one into the server.",
    )
