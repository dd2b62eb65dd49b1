"""Turn errors into HTTP answers: a status and `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agent_kernel.errors import (
    AgentKernelError,
    CapabilityMissing,
    CheckpointTooLarge,
    ConnectDenied,
    ContextLengthExceeded,
    InvalidRequest,
    LimitReached,
    ModelError,
    NotFound,
    OutOfScript,
    SandboxBusy,
    SandboxError,
    SandboxFileError,
    SandboxGone,
    TooLarge,
    ToolServerFailed,
    TooSlow,
    Unauthorized,
    UnsupportedEncoding,
)
from agent_kernel.server.bodies import is_whole

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[AgentKernelError], int], ...] = (
    (Unauthorized, 401),
    (LimitReached, 429),
    (NotFound, 404),
    (TooLarge, 413),
    (TooSlow, 408),
    (UnsupportedEncoding, 415),
    (InvalidRequest, 400),
    (SandboxFileError, 400),
    (CapabilityMissing, 400),
    (SandboxBusy, 409),
    (SandboxGone, 410),
    (CheckpointTooLarge, 413),
    (ConnectDenied, 403),
    (SandboxError, 503),
    (OutOfScript, 400),
    (ContextLengthExceeded, 400),
    (ToolServerFailed, 424),
    (ModelError, 502),
    (AgentKernelError, 500),
)
"""The HTTP status of each error; the first row that matches counts. docs/api.md has the same table."""

INTERNAL = "Internal error. Details are in the server log."

LINGER = 30.0
"""Seconds that a client gets to finish sending, so that it can read why it was refused."""


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return an answer with the API's error object as its body."""
    return JSONResponse(error_object(status, message, param=param, code=code), status, headers)


def error_object(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """Return the API's error object."""
    kind = (
        "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def described(error: AgentKernelError) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the content of the API's error object."""
    status = next(status for cls, status in STATUS if isinstance(error, cls))
    param, code = None, error.code
    if isinstance(error, InvalidRequest):
        param, code = error.param, error.request_code
    elif isinstance(error, LimitReached):
        code = error.request_code
    if code is None and type(error) is not InvalidRequest:
        code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    if isinstance(error, ToolServerFailed):
        param = error.param
    said: dict[str, Any] = error_object(status, str(error), param=param, code=code)["error"]
    if isinstance(error, ToolServerFailed):
        said["type"] = error.kind
    return status, said


def answer_to(error: AgentKernelError) -> Response:
    """Return the HTTP answer for an error, with the headers that clients act on."""
    status, body = described(error)
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, LimitReached) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    elif isinstance(error, LimitReached | SandboxBusy):
        headers["X-Should-Retry"] = "false"  # OpenAI's clients would retry, and waiting does not help
    return JSONResponse({"error": body}, status, headers)


def _of_ours(request: Request, error: Exception) -> Response:
    if not isinstance(error, AgentKernelError):
        raise error
    response = answer_to(error)
    if response.status_code >= 500:
        log.warning("%s %s: %s", request.method, request.url.path, error)
    if isinstance(error, TooSlow):
        response.headers["Connection"] = "close"
        return response
    return response if is_whole(request.scope) else Refusal(response)


def _of_starlette(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    words = {
        404: f"No such endpoint: {request.method} {request.url.path}",
        405: f"Method {request.method} not allowed for {request.url.path}.",
    }
    return error_response(
        error.status_code, words.get(error.status_code, error.detail), headers=error.headers
    )


def _unforeseen(request: Request, error: Exception) -> Response:
    return error_response(500, INTERNAL)


def _left(request: Request, error: Exception) -> Response:
    log.info("Client disconnected: %s %s.", request.method, request.url.path)
    return Response(status_code=499)  # the client is gone: only logs see it


class Refusal(Response):
    """An error answer sent while the client is still sending its body.

    Closing at once would reset the connection, and the client would see a reset instead of the reason. So
    send the reason, then read and discard the rest of the body for up to `LINGER` seconds.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.body, response.status_code, dict(response.headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, discard the rest of the request, then end the answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER):
                while not is_whole(scope) and (await receive()).get("more_body", False):
                    pass
        except (TimeoutError, TooSlow):
            log.info("A client kept sending a refused request body; closed its connection.")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    AgentKernelError: _of_ours,
    HTTPException: _of_starlette,
    ClientDisconnect: _left,
    Exception: _unforeseen,
}
