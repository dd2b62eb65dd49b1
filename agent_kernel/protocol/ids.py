"""Identifiers of everything that the API names: a prefix of the field's and 32 random hexadecimal digits."""

from __future__ import annotations

import secrets


def _random(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


def response_id() -> str:
    """Of a response."""
    return _random("resp_")


def message_id() -> str:
    """Of a message item."""
    return _random("msg_")


def reasoning_id() -> str:
    """Of a reasoning item."""
    return _random("rs_")


def call_id() -> str:
    """Join a call to its output where the model gave no usable id of its own."""
    return _random("call_")


_ITEMS = {
    "message": "msg_",
    "reasoning": "rs_",
    "compaction": "cmp_",
    "mcp_approval_request": "mcpr_",
    "mcp_approval_response": "mcpa_",
}


def item_id(kind: str, prefix: str | None = None) -> str:
    """Of an item of type `kind`. A tool gives the `prefix` of its items."""
    return _random(prefix or _ITEMS.get(kind, "item_"))


def conversation_id() -> str:
    """Of a conversation."""
    return _random("conv_")


def file_id() -> str:
    """Of an uploaded file."""
    return _random("file-")


def steer_id() -> str:
    """Of a message that steers a running response."""
    return _random("steer_")
