"""Errors as the API says them: `{"error": {"message", "type", "param", "code"}}` and a status."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from agent_kernel.errors import (
    AgentKernelError,
    EngineUnavailable,
    InvalidRequest,
    NotFound,
    SandboxFileError,
    SandboxGone,
    SandboxUnreachable,
    TooLarge,
    UpstreamRefused,
    UpstreamUnavailable,
)

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[AgentKernelError], int], ...] = (
    (NotFound, 404),
    (TooLarge, 413),
    (InvalidRequest, 400),
    (SandboxFileError, 400),
    (SandboxGone, 410),
    (SandboxUnreachable, 503),
    (EngineUnavailable, 503),
    (UpstreamUnavailable, 502),
    (UpstreamRefused, 502),
    (AgentKernelError, 500),
)
"""The first that fits."""

LINGER = 30.0
"""Seconds in which a client that is still sending may finish and read why it was refused."""


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Make the API's error object."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status, headers)


def described(error: AgentKernelError) -> tuple[int, dict[str, Any]]:
    """The status and the API's error object."""
    status = next(status for cls, status in STATUS if isinstance(error, cls))
    param, code = None, error.code
    if isinstance(error, InvalidRequest):
        param, code = error.param, error.request_code
    if code is None and type(error) is not InvalidRequest:
        code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    kind = "invalid_request_error" if status < 500 else "server_error"
    return status, {"message": str(error), "type": kind, "param": param, "code": code}


def _of_ours(request: Request, error: Exception) -> Response:
    if not isinstance(error, AgentKernelError):
        raise error
    status, body = described(error)
    if status >= 500:
        log.warning("%s %s: %s", request.method, request.url.path, error)
    response = JSONResponse({"error": body}, status)
    return Refusal(response) if isinstance(error, TooLarge) else response


def _of_starlette(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    words = {
        404: f"There is nothing at {request.method} {request.url.path}.",
        405: f"{request.method} is not possible at {request.url.path}.",
    }
    return error_response(
        error.status_code, words.get(error.status_code, error.detail), headers=error.headers
    )


def _unforeseen(request: Request, error: Exception) -> Response:
    return error_response(
        500, f"Something unforeseen happened ({type(error).__name__}); the server's log has more."
    )


def _left(request: Request, error: Exception) -> Response:
    log.info("The client left: %s %s.", request.method, request.url.path)
    return Response(status_code=499)  # nobody reads it


class Refusal(Response):
    """A refusal given while the client is still sending.

    Closing at once would reset the connection, and the client would see that instead of the reason. So the
    reason is sent, and what still comes is read and thrown away for a while.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response.body, response.status_code, dict(response.headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, linger, end."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            log.info("A client kept sending what was refused; its connection is closed.")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    AgentKernelError: _of_ours,
    HTTPException: _of_starlette,
    ClientDisconnect: _left,
    Exception: _unforeseen,
}
