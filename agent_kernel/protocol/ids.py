"""Identifiers in the API: a prefix and 32 random hexadecimal digits."""

from __future__ import annotations

import re
import secrets


def _random(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


def response_id() -> str:
    """Return an id for a response."""
    return _random("resp_")


def message_id() -> str:
    """Return an id for a message item."""
    return _random("msg_")


def reasoning_id() -> str:
    """Return an id for a reasoning item."""
    return _random("rs_")


def call_id() -> str:
    """Return an id for a call that has no usable id from the model."""
    return _random("call_")


_ITEMS = {
    "message": "msg_",
    "reasoning": "rs_",
    "compaction": "cmp_",
    "mcp_approval_request": "mcpr_",
    "mcp_approval_response": "mcpa_",
    "apply_patch_call": "apc_",
    "apply_patch_call_output": "apco_",
    "computer_call": "cu_",
    "computer_call_output": "cuo_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "file_search_call": "fs_",
    "image_generation_call": "ig_",
    "local_shell_call": "lsh_",
    "mcp_call": "mcp_",
    "mcp_list_tools": "mcpl_",
    "tool_search_call": "tsc_",
    "tool_search_output": "tso_",
    "web_search_call": "ws_",
}


def item_id(kind: str, prefix: str | None = None) -> str:
    """Return an id for an item of type `kind`. A tool passes the `prefix` of its items."""
    return _random(prefix or _ITEMS.get(kind, "item_"))


def item_like(kind: str, other: object) -> str:
    """Return an id for an item of type `kind` with the prefix of an `other` one, if it has a short one."""
    found = re.match("[a-z]{1,12}_", other) if isinstance(other, str) else None
    return _random(found[0]) if found else item_id(kind)


def conversation_id() -> str:
    """Return an id for a conversation."""
    return _random("conv_")


def session_id() -> str:
    """Return an id for a kept session."""
    return _random("sess_")


def file_id() -> str:
    """Return an id for an uploaded file."""
    return _random("file-")


def steer_id() -> str:
    """Return an id for a message that steers a running response."""
    return _random("steer_")


def skill_id() -> str:
    """Return an id for a kept skill."""
    return _random("skill_")


def skill_version_id() -> str:
    """Return an id for a version of a kept skill."""
    return _random("skillver_")


def vector_store_id() -> str:
    """Return an id for a vector store."""
    return _random("vs_")


def file_batch_id() -> str:
    """Return an id for files that are added to a vector store together."""
    return _random("vsfb_")


def upload_id() -> str:
    """Return an id for an upload in parts."""
    return _random("upload_")


def upload_part_id() -> str:
    """Return an id for a part of an upload."""
    return _random("part_")
