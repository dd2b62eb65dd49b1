"""Read query parameters; write resources and pages of resources."""

from __future__ import annotations

from typing import Any, cast

from openai import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.validation import shortened
from agent_kernel.runtime.base import FileChanges, Order, Page, ServedRuntime
from agent_kernel.server.auth import caller_of


def runtime_of(request: Request) -> ServedRuntime:
    """Return the runtime as the caller may see it."""
    return caller_of(request.scope).runtime


def path(request: Request, name: str) -> str:
    """Return a parameter of the path."""
    return str(request.path_params[name])


def number(request: Request, name: str, default: int) -> int:
    """Return a whole number from the query. Raises `InvalidRequest`."""
    text = request.query_params.get(name, str(default))
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 9:
        raise InvalidRequest(f"{name} must be a whole number, not {shortened(text)}.", param=name)
    return int(text)


def flag(request: Request, name: str) -> bool:
    """Return true or false from the query. Raises `InvalidRequest`."""
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{name} must be true or false, not {shortened(text)}.", param=name)
    return text in ("true", "1")


def included(request: Request) -> list[str]:
    """Return the names in the query's `include`, which clients send in two spellings."""
    query = request.query_params
    return [*query.getlist("include"), *query.getlist("include[]")]


def paging(request: Request, *, limit: int = 20) -> dict[str, Any]:
    """Return which page of a list the query asks for; `limit` is the default."""
    order = cast(Order, request.query_params.get("order", "desc"))
    return {
        "after": request.query_params.get("after"),
        "limit": number(request, "limit", limit),
        "order": order,
    }


def answer(resource: BaseModel) -> JSONResponse:
    """Answer with one resource."""
    return JSONResponse(to_json(resource))


def deleted(id: str, kind: str) -> JSONResponse:  # noqa: A002
    """Answer that a resource is deleted."""
    return JSONResponse({"id": id, "object": kind, "deleted": True})


def listed(page: Page[Any]) -> JSONResponse:
    """Answer with a page of resources."""
    return JSONResponse(_list(page))


def changed(changes: FileChanges) -> JSONResponse:
    """Answer with the files that changed, and the mark to ask with next."""
    ours = {"mark": changes.mark, "count": changes.count, "known": changes.known}
    page: Page[Any] = Page(changes.files, has_more=False)
    return JSONResponse({**_list(page), "agent_kernel": ours})


def _list(page: Page[Any]) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [to_json(resource) for resource in page.data],
        "first_id": page.data[0].id if page.data else None,
        "last_id": page.data[-1].id if page.data else None,
        "has_more": page.has_more,
    }
