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


def shell_call_id() -> str:
    """Of a shell call item (not to be confused with its `call_id`)."""
    return _random("sh_")


def shell_output_id() -> str:
    """Of a shell call's output item."""
    return _random("sho_")


def function_call_id() -> str:
    """Of a function call item (not to be confused with its `call_id`)."""
    return _random("fc_")


def call_id() -> str:
    """Join a call to its output where the model gave no usable id of its own."""
    return _random("call_")
