"""What this server does with each word of the Responses API.

The words are tools, `tool_choice`, `include`, input items and request fields.

Nothing that a client asks for is dropped in silence. A word is served, passed through to a model server that
speaks the Responses API, or refused with a 400 whose message says what to do. docs/api.md shows these
tables, and tests compare them with it, with the `openai` package's types and with the installed tools.

To serve a tool: add it to `tools.catalogue.BUILT_IN`, and change its line here to `_served(...)`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened

Status = Literal["served", "passed through", "refused"]


@dataclass(frozen=True)
class Coverage:
    """What happens to a word. `note` says what differs from the API, or what to do instead."""

    status: Status
    note: str


def _served(note: str = "") -> Coverage:
    return Coverage("served", note)


def _passed(note: str) -> Coverage:
    return Coverage("passed through", note)


def _refused(note: str) -> Coverage:
    return Coverage("refused", note)


_SEARCH = "By the search service that the operator configures, otherwise refused. See guide/web-search.md."
INSTEAD: Mapping[str, str] = {
    "image_generation": "Let code_interpreter draw, or offer a function of your own.",
    "local_shell": "Use shell with the environment local.",
}
"""What to use where a tool that is passed through is refused."""
_BY_CLIENT = "Called by the client. A Responses API gets it; for any other model it is refused."
_NO_PROGRAMS = "Use code_interpreter, which runs Python."

TOOLS: Mapping[str, Coverage] = {
    "apply_patch": _served("Called by the client, or run in a container with agent_kernel.environment."),
    "code_interpreter": _served("Runs in the turn's container."),
    "computer": _served("Called by the client, or run in a container with agent_kernel.container."),
    "computer_use_preview": _served("As computer. A call has one action."),
    "custom": _served("Called by the client. OpenAI's servers enforce a grammar; others get a function."),
    "file_search": _served("Searches vector stores of this server."),
    "function": _served("Called by the client."),
    "image_generation": _passed("A Responses API gets it and draws; for any other model it is refused."),
    "local_shell": _passed(_BY_CLIENT),
    "mcp": _served(
        "Remote servers, and ones in the container. Connectors and tunnels are refused. See guide/mcp.md."
    ),
    "namespace": _served("Groups functions; tools of other types in it are refused."),
    "programmatic_tool_calling": _refused(_NO_PROGRAMS),
    "shell": _served("Runs in a container, or on the client with the environment local."),
    "tool_search": _served("Searches the request's tools with defer_loading, or is answered by the client."),
    "web_search": _served(_SEARCH),
    "web_search_2025_08_26": _served("As web_search."),
    "web_search_preview": _served("As web_search."),
    "web_search_preview_2025_03_11": _served("As web_search."),
}
"""The `type` of an entry of `tools`."""

TOOL_CHOICES: Mapping[str, Coverage] = {
    "none": _served("Enforced: a call that the model makes all the same does not run."),
    "auto": _served(),
    "required": _served("Applies to the first model call of a turn."),
    "allowed_tools": _served("Enforced; servers other than OpenAI's get only these tools."),
    **{
        name: _served("Names a tool of the request.")
        for name in ("function", "shell", "code_interpreter", "custom", "apply_patch", "mcp", "file_search",
                     "image_generation", "computer", "computer_use_preview", "web_search_preview",
                     "web_search_preview_2025_03_11", "programmatic_tool_calling")
    },
    "computer_use": _served("The older name of computer."),
}  # fmt: skip
"""The words of `tool_choice`, and the `type` of its objects. A tool must be among the request's tools."""

_ALWAYS = "Always included."

INCLUDE: Mapping[str, Coverage] = {
    "code_interpreter_call.outputs": _served(),
    "computer_call_output.output.image_url": _served(_ALWAYS),
    "file_search_call.results": _served("No effect without the tool file_search."),
    "message.input_image.image_url": _served(_ALWAYS),
    "message.output_text.logprobs": _served("A notice says if the model's server returns none."),
    "reasoning.encrypted_content": _served("Only if the model's server returns it."),
    "web_search_call.action.sources": _served("No effect without the tool web_search."),
    "web_search_call.results": _served("No effect without the tool web_search."),
}
"""The words of `include`."""

_OTHERS_RESULT = "A Responses API gets it; for any other model it is left out, which a notice says."

ITEMS: Mapping[str, Coverage] = {
    "additional_tools": _served("Tools that the client runs. Others belong into the request's tools."),
    "apply_patch_call": _served(),
    "apply_patch_call_output": _served(),
    "code_interpreter_call": _served(),
    "compaction": _served("Read by the model that wrote it; another gets the conversation itself."),
    "compaction_trigger": _refused("Use context_management, or POST /v1/responses/compact."),
    "computer_call": _served("Models without the tool read it as a function call."),
    "computer_call_output": _served("Its screenshot goes to the model as an image."),
    "configuration_update": _refused("Set reasoning and text in the request."),
    "custom_tool_call": _served("A Chat Completions model reads it as a function call."),
    "custom_tool_call_output": _served("A Chat Completions model reads it as a function's output."),
    "file_search_call": _served("Without results the model is told that the call has none."),
    "function_call": _served(),
    "function_call_output": _served(),
    "image_generation_call": _passed(_OTHERS_RESULT),
    "item_reference": _served("Names an item of a stored response or of a conversation."),
    "local_shell_call": _passed(_OTHERS_RESULT),
    "local_shell_call_output": _passed(_OTHERS_RESULT),
    "mcp_approval_request": _served("Not sent to the model."),
    "mcp_approval_response": _served("Answers an approval request of this server."),
    "mcp_call": _served("A model reads it as a function call with its output."),
    "mcp_list_tools": _served("Its server is not listed again; models get the tools as functions."),
    "message": _served(),
    "program": _passed(_OTHERS_RESULT),
    "program_output": _passed(_OTHERS_RESULT),
    "reasoning": _served("Encrypted reasoning is read by the model that wrote it."),
    "shell_call": _served(),
    "shell_call_output": _served(),
    "tool_search_call": _served("A model reads it as a function call."),
    "tool_search_output": _served("Its tools can be called from then on."),
    "web_search_call": _served("Without results the model is told that they were not kept."),
}
"""The `type` of an input item."""

_HINT = "A Responses API gets it; for any other model it has no effect."

FIELDS: Mapping[str, Coverage] = {
    "access_programs": _refused("Leave it out: access programs are those of OpenAI's own API."),
    "background": _served(),
    "context_management": _served(),
    "conversation": _served(),
    "image": _passed(_HINT),
    "include": _served("Unknown words are refused."),
    "input": _served(),
    "instructions": _served(),
    "max_output_tokens": _served("Applies to the whole turn."),
    "max_tool_calls": _served("Counts the calls that run here."),
    "metadata": _served(),
    "model": _served(),
    "moderation": _refused("Call a moderation endpoint in the client."),
    "parallel_tool_calls": _served("Passed to the model's server."),
    "previous_response_id": _served(),
    "prompt": _refused("Send the prompt's text as instructions and input."),
    "prompt_cache_key": _passed(_HINT),
    "prompt_cache_options": _passed(_HINT),
    "prompt_cache_retention": _passed(_HINT),
    "reasoning": _served("Passed to the model's server."),
    "safety_identifier": _passed(_HINT),
    "service_tier": _passed(_HINT),
    "store": _served(),
    "stream": _served(),
    "stream_options": _served("This server sends no obfuscation, whatever include_obfuscation says."),
    "temperature": _served("Passed to the model's server."),
    "text": _served("Passed to the model's server."),
    "tool_choice": _served("See below."),
    "tools": _served("See below."),
    "top_logprobs": _served("Passed to the model's server. A notice says if it returns none."),
    "top_p": _served("Passed to the model's server."),
    "truncation": _served("Without it this server acts as with auto."),
    "user": _served("Echoed, and not used."),
}
"""The fields of a request. Null means absent. Fields that the API does not have are ignored."""


def check_fields(request: Mapping[str, Any]) -> None:
    """Refuse a field that has no effect here. Raises `InvalidRequest`."""
    for name, coverage in FIELDS.items():
        if coverage.status == "refused" and request.get(name):
            raise InvalidRequest(
                f"This server does not support {name}.",
                hint=coverage.note,
                param=name,
                code="unsupported_parameter",
            )


def check_include(words: Sequence[str], installed: Collection[str]) -> None:
    """Refuse a word of `include` that this server does not have. Raises `InvalidRequest`.

    `installed` are the words of the installed tools.
    """
    for index, word in enumerate(words):
        coverage = INCLUDE.get(word)
        if word not in installed and (coverage is None or coverage.status == "refused"):
            served = {name for name, each in INCLUDE.items() if each.status != "refused"}
            known = ", ".join(sorted(served.union(installed)))
            raise InvalidRequest(
                f"include cannot name {shortened(word)} here.",
                hint=coverage.note if coverage is not None else f"It can name: {known}.",
                param=f"include[{index}]",
                code="unsupported_value",
            )


def unserved_tool(kind: str, where: str, available: str) -> InvalidRequest:
    """Return the refusal of an entry of `tools`. `available` lists the tools of this server."""
    coverage = TOOLS.get(kind)
    advice = f"{coverage.note} " if coverage is not None and coverage.status == "refused" else ""
    return InvalidRequest(
        f"This server does not have the tool {shortened(kind)}.",
        hint=f"{advice}Available tools: {available}.",
        param=f"{where}.type",
        code="unsupported_tool",
    )


def check_item_type(kind: str, where: str) -> None:
    """Refuse an input item that no model would get. Raises `InvalidRequest`."""
    coverage = ITEMS.get(kind)
    if coverage is not None and coverage.status == "refused":
        raise InvalidRequest(
            f"This server does not support input items of the type {kind}.",
            hint=coverage.note,
            param=f"{where}.type",
            code="unsupported_item",
        )
