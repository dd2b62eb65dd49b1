"""The tools of a request in the form that an upstream understands: native, or as functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from agent_kernel.tools.base import Tool, ToolEntry
from agent_kernel.tools.catalogue import catalogue
from agent_kernel.tools.namespaces import flat_name

Json = Mapping[str, Any]

_PREFIX = "agent_kernel_"


class Offered:
    """The tools of one request. With `native`, the upstream supports each tool that has a native form.

    `choice` is the request's `tool_choice`; it decides which of the tools may be called (`allowed`).
    """

    def __init__(self, tools: Sequence[ToolEntry], *, native: bool, choice: Any = None) -> None:
        tools = [each for each in tools if not each.lists]
        self._native = native
        self.calls_none = choice == "none"
        """Whether the request forbids calls."""
        self.allowed = [] if self.calls_none else [each for each in tools if _allows(choice, each)]
        self._hosted = [entry for entry in tools if not entry.tool.repeated and not entry.tool.passed]
        self._handed_over = {getattr(each.tool, "handed_over", None) for each in tools if each.tool.passed}
        # Only OpenAI's API knows `allowed_tools`: others are not sent what is not allowed.
        self._sent = [entry for entry in tools if native or _allows(choice, entry)]
        self._taken = {entry.spec.get("name") for entry in tools if entry.tool.repeated}
        self._by_name = {name: each.tool for each in self._hosted if (name := self.name(each.tool))}
        grouped = [each for each in tools if each.tool.repeated and each.tool.type != "function"]
        self._by_name |= {str(each.spec.get("name")): each.tool for each in grouped}
        self._grouped = {
            (each.namespace.name, each.namespace.function): str(each.spec.get("name"))
            for each in grouped
            if each.namespace is not None and not each.tool.by_client
        }

    @property
    def naming(self) -> Hashable:
        """What the forms of items depend on: how their tools are offered, and under which names."""
        types = frozenset(entry.tool.type for entry in self._sent)
        return self._native, types, frozenset(self._taken), frozenset(self._grouped.items())

    def name(self, tool: Tool) -> str:
        """Return the function name for a tool: its type, with a prefix if a client's function has that name.

        Does not apply to the client's functions, which keep their names.
        """
        return tool.type if tool.type not in self._taken else _PREFIX + tool.type

    def name_of(self, entry: ToolEntry) -> str:
        """Return the name under which a model calls this entry."""
        return str(entry.spec.get("name")) if entry.tool.repeated else self.name(entry.tool)

    def call_name(self, tool: Tool, call: Json) -> str:
        """Return the function name of a call item, for upstreams that get it as a function call.

        A function that is not offered any more keeps the name that it had.
        """
        known = tool.called_as(call)
        return self.name(tool) if known is None else self._grouped.get(known) or flat_name(*known)

    def schema(self, entry: ToolEntry) -> Any:
        """Return the JSON schema of the entry's arguments, None if it has none."""
        return entry.tool.function_spec(entry).get("parameters")

    def is_native(self, tool: Tool) -> bool:
        """Return whether the upstream gets this tool's calls and outputs in their native form."""
        if tool.passed or (tool.by_client and not _is_custom(tool)):
            return True
        return self._native and _has_native_form(tool)

    def hands_over(self, item_type: str) -> bool:
        """Return whether the client asked for calls of this type, and answers them."""
        return item_type in self._handed_over

    def has_native_forms(self) -> bool:
        """Return whether a tool of this server has a form that only some upstreams know."""
        return any(_has_native_form(entry.tool) for entry in self._hosted)

    def as_functions(self, item_type: str) -> bool:
        """Return whether the upstream got the tool of these items as functions, and none in its own form."""
        tool = catalogue().of_item(item_type)
        offered = any(entry.tool is tool for entry in self._sent)
        return tool is not None and offered and not self.is_native(tool)

    def called(self, name: str) -> Tool | None:
        """Return the tool that a function call of this name means, or None for a client's function.

        A model may call a tool as a function although its upstream has the native form.
        """
        return self._by_name.get(name)

    def specs(self) -> list[dict[str, Any]]:
        """Return the `tools` of a Responses request: this server's tools, then the client's functions."""
        hosted = [self._spec(entry) for entry in self._sent if not entry.tool.repeated]
        named = [entry for entry in self._sent if entry.tool.repeated]
        return [*hosted, *(self._spec(each) if _is_custom(each.tool) else dict(each.spec) for each in named)]

    def functions(self) -> list[Json]:
        """Return all tools as functions, with `name`, `description` and `parameters`."""
        hosted = [entry for entry in self._sent if not entry.tool.repeated]
        named = [{"name": self.name(each.tool), **each.tool.function_spec(each)} for each in hosted]
        others = [each for each in self._sent if each.tool.repeated]
        return [
            *named,
            *(each.tool.function_spec(each) if _is_custom(each.tool) else each.spec for each in others),
        ]

    def _spec(self, entry: ToolEntry) -> dict[str, Any]:
        native = entry.tool.native_spec(entry) if self.is_native(entry.tool) else None
        if native is not None:
            return dict(native)
        spec = {"type": "function", "name": self.name_of(entry), **entry.tool.function_spec(entry)}
        return {**spec, "strict": False}

    def choice(self, choice: Any) -> Any:
        """Return `tool_choice` with this server's tools replaced by their functions.

        `allowed_tools` becomes its mode where only the allowed tools are sent.
        """
        if not isinstance(choice, Mapping):
            return choice
        if choice.get("type") == "allowed_tools" and isinstance(choice.get("tools"), list):
            if not self._native:
                return "required" if choice.get("mode") == "required" else "auto"
            return {**choice, "tools": [self.choice(each) for each in choice["tools"]]}
        for entry in self._hosted:
            called = choice.get("type") in (entry.tool.type, *entry.tool.aliases)
            if called and not self.is_native(entry.tool):
                return {"type": "function", "name": self.name(entry.tool)}
        name = choice.get("name")
        if choice.get("type") == "custom" and name in self._by_name and not self._native:
            return {"type": "function", "name": name}
        return choice


def _is_custom(tool: Tool) -> bool:
    """Return whether the client's calls of this tool have a form that only some upstreams know."""
    return tool.repeated and tool.by_client and tool.type != "function"


def _has_native_form(tool: Tool) -> bool:
    return type(tool).native_spec is not Tool.native_spec


def _allows(choice: Any, entry: ToolEntry) -> bool:
    """Return whether `tool_choice` lets a model call this tool; only `allowed_tools` excludes some."""
    if not isinstance(choice, Mapping) or choice.get("type") != "allowed_tools":
        return True
    listed = choice.get("tools")
    return not isinstance(listed, list) or any(_names(each, entry) for each in listed)


def _names(reference: Any, entry: ToolEntry) -> bool:
    more = entry.spec.get("type") if entry.tool.repeated else None
    kinds = (entry.tool.type, *entry.tool.aliases, more)
    if not isinstance(reference, Mapping) or reference.get("type") not in kinds:
        return False
    return not entry.tool.repeated or reference.get("name") == entry.spec.get("name")
