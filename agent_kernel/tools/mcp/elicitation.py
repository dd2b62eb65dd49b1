"""What a server asks the user during a call (elicitation), and the answer.

A server asks for a few values, or for a visit to a web page. Its words are data from outside: they are
bounded, shown as the server's, and nothing in them is followed. The user's values go to that server only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.mcp.results import clipped, is_deep

if TYPE_CHECKING:
    from mcp_types import ElicitRequestParams, ElicitResult

Json = Mapping[str, Any]
Value = str | int | float | bool | list[str]

MOST_FIELDS = 50
_LONGEST_MESSAGE = 4000
_LONGEST_SCHEMA = 32_000
_LONGEST_URL = 2000
_LONGEST_VALUE = 20_000
_DEEPEST = 10
_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
}


@dataclass(frozen=True)
class ServerQuestion:
    """A question of the server `label`: for the `properties` of its JSON `schema`, or to open `url`."""

    label: str
    message: str
    schema: Json = field(default_factory=dict)
    url: str | None = None

    @property
    def properties(self) -> Mapping[str, Json]:
        """The values that it asks for, each with its JSON schema."""
        return dict(self.schema.get("properties") or {})

    def to_json(self) -> dict[str, Any]:
        """Return what an item shows of it."""
        about: dict[str, Any] = {"server_label": self.label, "message": self.message}
        return {**about, "url": self.url} if self.url is not None else {**about, "schema": self.schema}


@dataclass(frozen=True)
class ServerAnswer:
    """The user's answer. Only `accept` has values, and those are shown nowhere."""

    action: Literal["accept", "decline", "cancel"]
    content: Mapping[str, Value] = field(default_factory=dict, repr=False)

    def result(self) -> ElicitResult:
        """Return it as the `mcp` package sends it."""
        from mcp_types import ElicitResult

        content: dict[str, Any] | None = dict(self.content) if self.action == "accept" else None
        return ElicitResult(action=self.action, content=content)


AskUser = Callable[[ServerQuestion], Awaitable[ServerAnswer]]
"""Asks the user. Cancelling withdraws the question."""

DECLINED = ServerAnswer("decline")
"""The answer where no one can be asked."""


def read_server_question(label: str, params: ElicitRequestParams) -> ServerQuestion | None:
    """Return the question in a server's request; None if it cannot be shown."""
    message = clipped(str(params.message), _LONGEST_MESSAGE)
    if params.mode == "url":
        fits = len(params.url) <= _LONGEST_URL and params.url.isprintable()
        is_page = params.url.startswith(("https://", "http://"))
        return ServerQuestion(label, message, url=params.url) if fits and is_page else None
    schema = params.requested_schema
    if is_deep(schema, _DEEPEST) or len(repr(schema)) > _LONGEST_SCHEMA:
        return None
    properties = schema.get("properties") or {}
    if not isinstance(properties, Mapping) or len(properties) > MOST_FIELDS:
        return None
    if not all(isinstance(each, Mapping) and each.get("type") in _KINDS for each in properties.values()):
        return None
    return ServerQuestion(label, message, schema)


def read_values(question: ServerQuestion, given: object, where: str) -> dict[str, Value]:
    """Return the values of an answer that fit the question. Raises `InvalidRequest`.

    The server checks what else its schema says: no pattern of its is run here.
    """
    if question.url is not None or given is None:
        given = given or {}
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{where} must be an object with the values that were asked for.", param=where)
    known = question.properties if question.url is None else {}
    for name, value in given.items():
        if name not in known:
            raise InvalidRequest(f"{where} has {shortened(name)}, which was not asked for.", param=where)
        if not _fits(value, known[name]):
            raise InvalidRequest(
                f"{where}.{name} must be {_wanted(known[name])}, not {shortened(value)}.",
                param=f"{where}.{name}",
            )
    required = question.schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name in known and name not in given:
            raise InvalidRequest(f"{where}.{name} is missing.", param=f"{where}.{name}")
    return dict(given)


def _fits(value: Any, schema: Json) -> bool:
    kind = str(schema["type"])
    if not isinstance(value, _KINDS[kind]) or isinstance(value, bool) != (kind == "boolean"):
        return False
    if isinstance(value, list):
        return len(value) <= MOST_FIELDS and all(
            isinstance(each, str) and len(each) <= _LONGEST_VALUE for each in value
        )
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        return False
    choices = schema.get("enum")
    return not isinstance(choices, list) or value in choices


def _wanted(schema: Json) -> str:
    choices = schema.get("enum")
    if isinstance(choices, list):
        return f"one of {', '.join(shortened(each) for each in choices[:20])}"
    return {"array": "a list of strings", "integer": "an integer"}.get(
        str(schema["type"]), f"a {schema['type']}"
    )
