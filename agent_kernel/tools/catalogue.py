"""The installed tools: those in `BUILT_IN`, and those that other packages register.

A package registers a tool by an entry point of the group `agent_kernel.tools` that names a subclass of
`Tool`. Entry points are loaded when the tools are first used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from agent_kernel.sandboxes.channel import Channel
    from agent_kernel.tools.base import Tool

GROUP = "agent_kernel.tools"

BUILT_IN: tuple[str, ...] = (
    "agent_kernel.tools.apply_patch.tool:APPLY_PATCH",
    "agent_kernel.tools.client:CLIENT_FUNCTION",
    "agent_kernel.tools.code_interpreter.tool:CODE_INTERPRETER",
    "agent_kernel.tools.computer.tool:COMPUTER",
    "agent_kernel.tools.custom:CUSTOM",
    "agent_kernel.tools.file_search.tool:FILE_SEARCH",
    "agent_kernel.tools.mcp.tool:MCP",
    "agent_kernel.tools.passed:ImageGeneration",
    "agent_kernel.tools.passed:LocalShell",
    "agent_kernel.tools.shell.tool:SHELL",
    "agent_kernel.tools.tool_search.tool:TOOL_SEARCH",
    "agent_kernel.tools.web_search.tool:WEB_SEARCH",
)
"""The built-in tools, each as a module and a class or object. A line here adds one."""


class Catalogue:
    """A lookup of tools by the types of their entries and items.

    Raises `ConfigurationError` if two tools have the same type.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._by_type: dict[str, Tool] = {}
        self._by_call: dict[str, Tool] = {}
        self._by_output: dict[str, Tool] = {}
        for tool in tools:
            names = [(self._by_type, name) for name in (tool.type, *tool.aliases)]
            if not tool.passed:  # nobody here reads its items
                names += [(self._by_call, tool.call_type), (self._by_output, tool.output_type)]
            for known, name in names:
                if name in known:
                    raise ConfigurationError(
                        f"Two tools have the type {name!r}: {_name(known[name])} and {_name(tool)}.",
                        hint="Uninstall one of the packages.",
                    )
                known[name] = tool

    def get(self, tool_type: str) -> Tool | None:
        """Return the tool whose entries in `tools` have this type."""
        return self._by_type.get(tool_type)

    def of_call(self, item_type: str) -> Tool | None:
        """Return the tool whose call items have this type."""
        return self._by_call.get(item_type)

    def of_output(self, item_type: str) -> Tool | None:
        """Return the tool whose output items have this type."""
        return self._by_output.get(item_type)

    def of_item(self, item_type: str) -> Tool | None:
        """Return the tool whose call or output items have this type."""
        return self.of_call(item_type) or self.of_output(item_type)

    @property
    def types(self) -> list[str]:
        """The types of all tools, in order, with their other names."""
        return sorted(self._by_type)

    @property
    def outputs(self) -> Mapping[str, str]:
        """The type of the output item by the type of the call item, as models get them."""
        return {call: tool.output_type for call, tool in self._by_call.items()}

    @property
    def paired_outputs(self) -> Mapping[str, str]:
        """The same without calls that hold their own output, which only models get as two items."""
        return {call: tool.output_type for call, tool in self._by_call.items() if not tool.one_item}

    @cached_property
    def one_item_types(self) -> frozenset[str]:
        """The types of items that hold a call with its output."""
        return frozenset(call for call, tool in self._by_call.items() if tool.one_item)

    @property
    def optional_fields(self) -> Mapping[str, Mapping[str, str]]:
        """The `optional_fields` of each tool that has any, by the type of its call items."""
        return {call: tool.optional_fields for call, tool in self._by_call.items() if tool.optional_fields}

    @property
    def include_words(self) -> frozenset[str]:
        """The words of `include` that show a field of a tool's items."""
        return frozenset(word for fields in self.optional_fields.values() for word in fields)

    def id_prefix(self, item_type: str) -> str | None:
        """Return the id prefix for items of this type, None if no tool has them."""
        if (tool := self.of_call(item_type)) is not None:
            return tool.id_prefixes[0]
        tool = self.of_output(item_type)
        return tool.id_prefixes[1] if tool is not None else None


@cache
def catalogue() -> Catalogue:
    """Return all tools. Raises `ConfigurationError`, naming the package, if one cannot be loaded."""
    return Catalogue([*map(_built_in, BUILT_IN), *map(_loaded, entry_points(group=GROUP))])


async def warm_up(channel: Channel) -> None:
    """Let each tool begin in a fresh sandbox what makes its first call fast. Raises as `Tool.run`."""
    for tool_type in catalogue().types:
        if (tool := catalogue().get(tool_type)) is not None and tool.type == tool_type:
            await tool.warm_up(channel)


def _built_in(path: str) -> Tool:
    module, _, name = path.partition(":")
    tool: Tool = _object(getattr(import_module(module), name))
    return tool


def _object(named: Any) -> Any:
    return named() if isinstance(named, type) else named


def _loaded(point: EntryPoint) -> Tool:
    from agent_kernel.tools.base import Tool

    package = point.dist.name if point.dist is not None else "an unknown package"
    hint = f"Uninstall or update {package}."
    try:
        tool = _object(point.load())
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigurationError(
            f"The tool {point.name!r} of {package} cannot be loaded: {why}.", hint=hint
        ) from error
    if not isinstance(tool, Tool):
        raise ConfigurationError(
            f"The tool {point.name!r} of {package} is not a subclass of agent_kernel.tools.base.Tool.",
            hint=hint,
        )
    return tool


def _name(tool: Tool) -> str:
    return f"{type(tool).__module__}.{type(tool).__qualname__}"
