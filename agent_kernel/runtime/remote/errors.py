"""The client's errors as ours, with words for a person."""

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
    NotFound,
    TooLarge,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)


@asynccontextmanager
async def translated(client: AsyncOpenAI, *, begun: bool = False) -> AsyncGenerator[None, None]:
    """Raise the client's errors as ours. `begun`: a broken connection broke a stream that was under way."""
    try:
        yield
    except openai.APIStatusError as error:
        raise _of_status(error, client) from error
    except openai.APIConnectionError as error:
        if begun:
            raise _broke_off(client) from error
        raise UpstreamUnavailable(
            f"Nobody answers at {address(client)}.",
            hint="Start the server there (agent-kernel serve), or correct the address.",
        ) from error
    except openai.APIError as error:
        raise UpstreamInterrupted(f"{address(client)} reports: {error.message}") from error
    except ValueError as error:  # what was to be JSON is not
        if isinstance(error, AgentKernelError):
            raise
        raise _broke_off(client) from error


def address(client: AsyncOpenAI) -> str:
    """Where the server is, without a user and password that somebody may have put in front of it."""
    url = client.base_url
    return f"{url.scheme}://{url.netloc.decode()}{url.path}".rstrip("/")


def _broke_off(client: AsyncOpenAI) -> UpstreamInterrupted:
    return UpstreamInterrupted(
        f"The answer of {address(client)} broke off before its end.",
        hint="Send it again; if it happens again, look into the server's log.",
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
                hint="Give the key that the server was started with.",
            )
        case 404:
            return NotFound(message, param=error.param, code=error.code)
        case 413:
            return TooLarge(message, param=error.param, code=error.code)
        case 400 | 422:
            return InvalidRequest(message, param=error.param, code=error.code)
        case status if status == 429 or status >= 500:
            return UpstreamUnavailable(f"The server at {address(client)} cannot serve this now: {message}")
    return UpstreamRefused(f"The server at {address(client)} refuses: {message}")


def _by_code(code: str | None) -> type[AgentKernelError] | None:
    """The class that a server of ours named in `code`, in snake case."""
    if not code or not re.fullmatch("[a-z_]+", code):
        return None
    found = getattr(errors, code.title().replace("_", ""), None)
    return found if isinstance(found, type) and issubclass(found, AgentKernelError) else None
