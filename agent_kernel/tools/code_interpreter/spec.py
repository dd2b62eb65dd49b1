"""The entry of `code_interpreter` in a request, and the tool as a function for models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.base import Environment
from agent_kernel.tools.code_interpreter.notes import NAMES
from agent_kernel.tools.live import LiveCall, malformed_call

if TYPE_CHECKING:
    from agent_kernel.tools.base import Tool

Json = Mapping[str, Any]

LONGEST_CODE = 1_000_000
"""Characters of one cell."""

DESCRIPTION = (
    "Run Python code in this conversation's container, in a session that stays alive: variables and imports "
    "are kept from call to call. Returns what the code prints and the value of a last expression. Figures of "
    "matplotlib, tables of pandas and other rich displays are shown to the user. The working directory is "
    "/mnt/data; files the user should get belong there. There is no network unless the user says otherwise."
)

_IN_R = (
    "Run R code in this conversation's container, in a session that stays alive: variables and loaded "
    "packages are kept from call to call. Returns what the code prints and the values of expressions. Plots "
    "are shown to the user. The working directory is /mnt/data; files the user should get belong there. "
    "There is no network unless the user says otherwise."
)

LANGUAGES = {"python": DESCRIPTION, "r": _IN_R}
"""The languages of `agent_kernel.language`, each with what models read about the tool."""


def parameters(language: str) -> Json:
    """Return the JSON schema of the function's arguments."""
    code = {"type": "string", "description": f"The {NAMES[language]} code to run."}
    return {
        "type": "object",
        "properties": {"code": code},
        "required": ["code"],
        "additionalProperties": False,
    }


def language_of(spec: Json) -> str:
    """Return the language of a checked entry."""
    ours = spec.get("agent_kernel")
    return str(ours.get("language") or "python") if isinstance(ours, Mapping) else "python"


def check_options(spec: Json, index: int) -> None:
    """Check the extension fields of entry number `index` of `tools`. Raises `InvalidRequest`."""
    ours, where = spec.get("agent_kernel"), f"tools[{index}].agent_kernel"
    if ours is None:
        return
    if not isinstance(ours, Mapping):
        raise InvalidRequest(f"{where} must be an object, not {shortened(ours)}.", param=where)
    if unknown := [name for name in ours if name not in ("language", "outputs")]:
        raise InvalidRequest(
            f"Unknown field {where}.{shortened(unknown[0])}.",
            hint="The fields of code_interpreter are language and outputs.",
            param=where,
            code="unknown_parameter",
        )
    if not isinstance(ours.get("outputs", False), bool):
        raise InvalidRequest(f"{where}.outputs must be true or false.", param=f"{where}.outputs")
    language = ours.get("language")
    if language is not None and (not isinstance(language, str) or language not in LANGUAGES):
        raise InvalidRequest(
            f"{where}.language must be {' or '.join(LANGUAGES)}, not {shortened(language)}.",
            param=f"{where}.language",
        )


def read_container(given: object, index: int) -> Environment:
    """Check the `container` of entry number `index` of `tools`. Raises `InvalidRequest`."""
    where = f"tools[{index}].container"
    if isinstance(given, str) and given:
        return Environment("reference", index, container_id=given, field="container")
    if isinstance(given, Mapping) and given.get("type") == "auto":
        return Environment("auto", index, params=given, field="container")
    raise InvalidRequest(
        f"{where} must be the id of a container, or an object with the type auto.",
        hint="For a new container: container = {'type': 'auto'}.",
        param=where,
    )


def wants_outputs(spec: Json) -> bool:
    """Return whether an entry asks for all outputs of a call; see `drafts.RichResult`."""
    given = spec.get("agent_kernel")
    return isinstance(given, Mapping) and given.get("outputs") is True


def without_secrets(spec: Json) -> Json:
    """Return an entry without the values of secrets that its network policy brings: responses repeat it."""
    container = spec.get("container")
    policy = container.get("network_policy") if isinstance(container, Mapping) else None
    if (
        not isinstance(container, Mapping)
        or not isinstance(policy, Mapping)
        or "domain_secrets" not in policy
    ):
        return spec
    given = policy["domain_secrets"]
    names = [
        {name: each[name] for name in ("domain", "name") if name in each}
        for each in (given if isinstance(given, list | tuple) else ())
        if isinstance(each, Mapping)
    ]
    return {**spec, "container": {**container, "network_policy": {**policy, "domain_secrets": names}}}


class LiveCode(LiveCall):
    """A call in progress: streams the code as far as it can be parsed."""

    def __init__(self, tool: Tool, call_id: str) -> None:
        super().__init__(tool, call_id)
        self._shown = 0

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON and yield what it adds to the code."""
        value = self.begun(piece)
        code = value.get("code") if isinstance(value, dict) else None
        if isinstance(code, str) and len(code) > self._shown:
            yield CallDelta(self.tool, self.call_id, code[self._shown :])
            self._shown = len(code)


def parse_call(tool: Tool, call_id: str, arguments: str) -> CallDone:
    """Read the function's arguments as the model wrote them. Raises `MalformedCall`."""
    try:
        value = read_object(arguments)
    except UnreadableArguments as error:
        raise malformed_call(tool.type, str(error), arguments) from None
    code = value.get("code")
    if not isinstance(code, str) or not code.strip():
        raise malformed_call(tool.type, "it needs a string called code", arguments)
    if unknown := sorted(set(value) - {"code"}):
        raise malformed_call(tool.type, f"it has no argument {unknown[0][:40]}", arguments)
    if len(code) > LONGEST_CODE:
        why = f"its code has more than {LONGEST_CODE} characters; write it to files, and run those"
        raise malformed_call(tool.type, why, arguments)
    try:
        code.encode()
    except UnicodeEncodeError:
        why = "its code has characters that UTF-8 cannot encode"
        raise malformed_call(tool.type, why, arguments) from None
    return CallDone(tool, call_id, (code,))
