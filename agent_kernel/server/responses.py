"""`/v1/responses`: each endpoint reads the request, calls the runtime and writes the answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from openai.types.responses import Response as ModelResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent_kernel.errors import InvalidRequest, NotFound, ToolServerFailed
from agent_kernel.protocol.fold import afold
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.network.base import AnswersQuestions
from agent_kernel.server.pages import (
    answer,
    deleted,
    flag,
    included,
    listed,
    number,
    paging,
    path,
    runtime_of,
)
from agent_kernel.server.streams import EventStream, while_connected
from agent_kernel.server.uploads import read_json


async def create_response(request: Request) -> Response:
    """Run a turn. A client that disconnects cancels it, unless it runs in the background."""
    body = await read_json(request)
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidRequest(
            f"stream must be true or false, not {shortened(body['stream'])}.", param="stream"
        )
    if not body.get("stream") and body.get("background") is not True:
        _check_unanswered(body)
    events = runtime_of(request).respond(body)
    if body.get("stream"):
        return EventStream(events)
    work = _begun(events) if body.get("background") is True else _folded(events)
    return answer(await while_connected(request.scope, request.receive, work))


def _check_unanswered(body: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` for a client that wants to answer questions, and would see them too late."""
    ours = body.get("agent_kernel")
    if isinstance(ours, Mapping) and ours.get("answers"):
        raise InvalidRequest(
            "agent_kernel.answers needs stream or background: questions come while the turn runs.",
            param="agent_kernel.answers",
        )


async def answer_question(request: Request) -> Response:
    """Answer a question of a running response. The body is an `mcp_approval_response`."""
    runtime = runtime_of(request)
    if not isinstance(runtime, AnswersQuestions):
        raise NotFound("This server takes no answers while a turn runs.")
    given = await read_json(request)
    await runtime.answer(path(request, "response_id"), given)
    return JSONResponse({"object": "agent_kernel.approval", "id": given["approval_request_id"]})


async def _folded(events: Any) -> ModelResponse:
    """Return the finished response. Raises `ToolServerFailed`: the turn could not begin."""
    response = await afold(events)
    error = response.error
    if response.status == "failed" and error is not None and str(error.code) == ToolServerFailed.code:
        raise ToolServerFailed(error.message)
    return response


async def _begun(events: Any) -> ModelResponse:
    """Return the queued response; the turn goes on in the background."""
    async with aclosing(events):
        first = await anext(events)
    response: ModelResponse = first.response
    return response


async def retrieve_response(request: Request) -> Response:
    """Return a stored response, or with `stream` its events after number `starting_after`."""
    response_id = path(request, "response_id")
    after = number(request, "starting_after", -1)
    if flag(request, "stream"):
        return EventStream(runtime_of(request).follow(response_id, after, include=included(request)))
    return answer(await runtime_of(request).retrieve(response_id, include=included(request)))


async def delete_response(request: Request) -> Response:
    """Delete a stored response."""
    response_id = path(request, "response_id")
    await runtime_of(request).delete(response_id)
    return deleted(response_id, "response")


async def cancel_response(request: Request) -> Response:
    """Cancel a background response."""
    return answer(await runtime_of(request).cancel(path(request, "response_id")))


async def list_input_items(request: Request) -> Response:
    """List the input items of a response."""
    page = await runtime_of(request).input_items(
        path(request, "response_id"), **paging(request), include=included(request)
    )
    return listed(page)


async def count_input_tokens(request: Request) -> Response:
    """Estimate the tokens of a request."""
    tokens = await runtime_of(request).count_tokens(await read_json(request))
    return JSONResponse({"object": "response.input_tokens", "input_tokens": tokens})


async def compact_response(request: Request) -> Response:
    """Compact a conversation."""
    work = runtime_of(request).compact(await read_json(request))
    return answer(await while_connected(request.scope, request.receive, work))
