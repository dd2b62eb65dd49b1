"""Deltas of calls, as models make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from agent_kernel.models.base import Item, ModelRequest
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.tools.client import CLIENT_FUNCTION
from agent_kernel.tools.code_interpreter.tool import CODE_INTERPRETER
from agent_kernel.tools.request import read_tools
from agent_kernel.tools.shell.tool import SHELL


def shell_delta(call_id: str, command_index: int, text: str) -> CallDelta:
    """A piece of a command."""
    return CallDelta(SHELL, call_id, text, part=command_index)


def shell_done(
    call_id: str,
    commands: tuple[str, ...],
    timeout_ms: int | None = None,
    max_output_length: int | None = None,
) -> CallDone:
    """A whole shell call."""
    options = {"timeout_ms": timeout_ms, "max_output_length": max_output_length}
    return CallDone(SHELL, call_id, commands, options)


def code_delta(call_id: str, text: str) -> CallDelta:
    """A piece of the code of a call that holds its output."""
    return CallDelta(CODE_INTERPRETER, call_id, text)


def code_done(call_id: str, code: str) -> CallDone:
    """A whole call of that kind."""
    return CallDone(CODE_INTERPRETER, call_id, (code,))


def function_delta(call_id: str, name: str, arguments: str) -> CallDelta:
    """A piece of the arguments of a client's function."""
    return CallDelta(CLIENT_FUNCTION, call_id, arguments, name=name)


def model_request(
    model: str,
    items: Sequence[Item],
    instructions: str | None = None,
    *,
    shell: bool = True,
    functions: Sequence[dict[str, Any]] = (),
    **fields: Any,
) -> ModelRequest:
    """A step's request that offers the shell and functions of the client."""
    specs = [*([{"type": "shell"}] if shell else []), *({"type": "function", **each} for each in functions)]
    return ModelRequest(model, items, instructions, tools=read_tools(specs), **fields)


def is_shell_delta(delta: object) -> TypeGuard[CallDelta]:
    """Whether this is a piece of a shell call."""
    return isinstance(delta, CallDelta) and delta.tool is SHELL
