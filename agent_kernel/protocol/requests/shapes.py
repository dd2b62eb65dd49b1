"""Types of objects in requests, made with their limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

MOST_PAIRS = 16
"""Maximum number of pairs in `metadata` and in `attributes`."""


def shape(name: str, fields: Mapping[str, Any], *, closed: bool = False) -> Any:
    """Return a type of objects with these fields; a `closed` one accepts no others."""
    import typing_extensions

    make: Any = typing_extensions.TypedDict
    made = make(name, fields, total=False)
    if closed:
        made.__pydantic_config__ = {"extra": "forbid"}
    return made


def metadata() -> Any:
    """Return the type of `metadata`."""
    return _pairs(_text(512))


def attributes() -> Any:
    """Return the type of the `attributes` of a file in a vector store."""
    return _pairs(_text(512) | float | bool)


def _pairs(value: Any) -> Any:
    from pydantic import Field

    return Annotated[dict[_text(64), value], Field(max_length=MOST_PAIRS)]  # type: ignore[misc]


def _text(most: int) -> Any:
    from pydantic import Field

    return Annotated[str, Field(max_length=most)]
