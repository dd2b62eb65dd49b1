"""Translates the `openai` client's errors into our own, with messages for users."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import openai
from openai import AsyncOpenAI

from agent_kernel import errors
from agent_kernel.errors import (
    AgentKernelError,
    InvalidRequest,
    LimitReached,
    NotFound,
    TooLarge,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)


@asynccontextmanager
async def translated(client: AsyncOpenAI, *, begun: bool = False) -> AsyncGenerator[None, None]:
    """Raise the client's errors as our own. `begun`: the stream had already started."""
    try:
        yield
    except openai.APIStatusError as error:
        raise _of_status(error, client) from error
    except openai.APIConnectionError as error:
        if begun:
            raise _broke_off(client) from error
        raise UpstreamUnavailable(
            f"No server answers at {address(client)}.",
            hint="Start the server there (agent-kernel serve), or correct the address.",
        ) from error
    except openai.APIError as error:
        raise UpstreamInterrupted(f"{address(client)} reports: {error.message}") from error
    except ValueError as error:  # invalid JSON
        if isinstance(error, AgentKernelError):
            raise
        raise _broke_off(client) from error


def address(client: AsyncOpenAI) -> str:
    """Return the server's address without a user name and password."""
    url = client.base_url
    return f"{url.scheme}://{url.netloc.decode()}{url.path}".rstrip("/")


def _broke_off(client: AsyncOpenAI) -> UpstreamInterrupted:
    return UpstreamInterrupted(
        f"The answer of {address(client)} broke off before its end.",
        hint="Send it again. If that fails too, check the server's log.",
    )


def _of_status(error: openai.APIStatusError, client: AsyncOpenAI) -> AgentKernelError:
    body = error.body
    said = body.get("message") if isinstance(body, Mapping) else None
    message = said if isinstance(said, str) and said else f"HTTP status {error.status_code}"
    ours = _by_code(error.code)
    if ours is not None and not issubclass(ours, InvalidRequest):
        return ours(message)
    match error.status_code:
        case 401:
            return UpstreamRefused(
                f"The server at {address(client)} does not accept the key.",
                hint="Use the key that the server was started with.",
            )
        case 404:
            return NotFound(message, param=error.param, code=error.code)
        case 413:
            return TooLarge(message, param=error.param, code=error.code)
        case 400 | 422:
            return InvalidRequest(message, param=error.param, code=error.code)
        case 429 if (error.code or "").endswith("_limit_reached"):
            return LimitReached(message, code=error.code or "")
        case status if status == 429 or status >= 500:
            return UpstreamUnavailable(f"The server at {address(client)} cannot serve this now: {message}")
    return UpstreamRefused(f"The server at {address(client)} refuses: {message}")


def _by_code(code: str | None) -> type[AgentKernelError] | None:
    """Return the error class that one of our servers named in `code`, in snake case."""
    if not code or not re.fullmatch("[a-z_]+", code):
        return None
    found = getattr(errors, code.title().replace("_", ""), None)
    return found if isinstance(found, type) and issubclass(found, AgentKernelError) else None
