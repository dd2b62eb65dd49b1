"""Reads the finished function calls of a model, also malformed ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent_kernel.errors import MalformedCall, MalformedModelOutput
from agent_kernel.protocol.calls import CallDelta, CallDone, RejectedCall
from agent_kernel.protocol.deltas import ItemBreak, ModelDelta
from agent_kernel.tools.arguments import UnreadableArguments, is_object, read_objects
from agent_kernel.tools.base import Tool
from agent_kernel.tools.client import CLIENT_FUNCTION

_NO_LABELS: Mapping[str, Any] = {}


def read_calls(
    tool: Tool | None,
    call: tuple[str, str, str],
    another_id: Callable[[], str],
    labels: Mapping[str, Any] = _NO_LABELS,
) -> Iterator[ModelDelta]:
    """Yield a finished call, or why it cannot be carried out.

    `call` has its id, its name and its arguments; `tool` None means a function of the client, which gets the
    `labels`. Several objects that ran together are several calls: those after the first get ids from
    `another_id`.
    """
    call_id, name, arguments = call
    if not name:
        yield RejectedCall(call_id, name, arguments, "it names no tool")
        return
    try:
        objects = read_objects(arguments)
    except UnreadableArguments as error:
        yield RejectedCall(call_id, name, arguments, str(error))
        return
    texts = [arguments] if len(objects) == 1 else [_dumped(each) for each in objects]
    for number, text in enumerate(texts):
        this_id = another_id() if number else call_id
        if tool is not None:
            yield _read(tool, this_id, name, text)
        else:
            yield ItemBreak()
            exact = text if is_object(text) else _dumped(objects[number])
            yield CallDelta(CLIENT_FUNCTION, this_id, exact, name=name, labels=labels)


def read_native(tool: Tool, call_id: str, item: Any) -> CallDone | RejectedCall:
    """Return a finished call item of an upstream with native support, or why it cannot be carried out."""
    try:
        return tool.read_native_item(call_id, item)
    except MalformedModelOutput as error:
        return RejectedCall(call_id, tool.type, "", _why(error))


def _read(tool: Tool, call_id: str, name: str, arguments: str) -> CallDone | RejectedCall:
    try:
        call = tool.read_arguments(call_id, arguments)
        return replace(call, name=name) if tool.repeated else call
    except MalformedModelOutput as error:
        return RejectedCall(call_id, name, arguments, _why(error))


def _why(error: MalformedModelOutput) -> str:
    return error.why if isinstance(error, MalformedCall) else error.message


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
