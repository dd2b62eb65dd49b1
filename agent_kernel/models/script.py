r"""Scripts of the scripted model: YAML files, checked completely before a turn is played.

A file holds one script, or several as YAML documents::

    name: first questions
    turns:
      - when: look at the file            # part of the message; case and white space are ignored
        do:
          - think: The header first.      # a paragraph of a reasoning summary
          - shell: head -5 x.csv          # one call: a command, a list of commands, or a mapping
          - say: "There are {rows} rows." # a message, in Markdown
            quote: {rows: 'rows: (\d+)'}
      - when: {regex: "wait (a|one) moment"}   # found in the message; case is ignored
        do:
          - shell: {commands: [sleep 60], timeout_ms: 500, max_output_length: 1000}
      - when: what is the weather
        do:
          - call: {name: get_weather, arguments: {city: Oslo}}   # the client's function, or a list
      - when: what time is it
        do:
          - tool: {type: clock, arguments: {zone: UTC}}          # any tool of the server, or a list
          - tool: {type: mcp, name: db__query, arguments: {}}    # a function of a tool that has several

Everything up to a `shell`, `tool` or `call` is one step of the model. Calls in one entry are made together.
The commands really run, the client runs its functions, and the next step follows. `say` can quote their
results: `{name}` is replaced by what the regular expression of that name finds in the stdout of all commands
and the results of all functions of the turn. `^` and `$` match at lines, the last match wins, and its first
group is used, or the whole match if it has no group. A pattern that matches nothing is an error, never an
invented text. `{{` and `}}` are literal braces; so are braces around anything that is not a word.

The turn played is the first with a `when` equal to the whole message, otherwise the first that matches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agent_kernel.errors import ConfigurationError

PACKAGED = Path(__file__).parent / "scripts"

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w+)\}")


@dataclass(frozen=True)
class Think:
    """A paragraph of a reasoning summary."""

    text: str


@dataclass(frozen=True)
class ScriptedCall:
    """A call of a tool of this server (`tool` is its type), or of a client's function (`name`).

    `arguments` is JSON text.
    """

    tool: str
    arguments: str
    name: str | None = None


@dataclass(frozen=True)
class Say:
    """A message; `quote` maps its placeholders to patterns."""

    text: str
    quote: Mapping[str, re.Pattern[str]] = field(default_factory=dict)


Move = Think | ScriptedCall | Say


@dataclass(frozen=True)
class ScriptedTurn:
    """The steps to play for a message that `matches`."""

    when: str
    pattern: re.Pattern[str] | None
    steps: Sequence[Sequence[Move]]

    def is_exactly(self, said: str) -> bool:
        """Return whether `when` equals the whole message."""
        return self.pattern is None and folded(self.when) == folded(said)

    def matches(self, said: str) -> bool:
        """Return whether `when` is part of the message."""
        if self.pattern is not None:
            return self.pattern.search(said) is not None
        return folded(self.when) in folded(said)


@dataclass(frozen=True)
class Script:
    """A name and its turns."""

    name: str
    turns: Sequence[ScriptedTurn]


def folded(text: str) -> str:
    """Fold case and white space, which comparisons ignore."""
    return " ".join(text.split()).casefold()


def load(path: Path) -> Script:
    """Read a script. Raises `ConfigurationError`, which names the file and turn but quotes neither."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"The script {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"The script {path} is not valid YAML{where}.") from None
    turns: list[ScriptedTurn] = []
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("turns"), list):
            raise ConfigurationError(f"The script {path} has no list called turns.")
        for number, turn in enumerate(document["turns"], 1):
            try:
                turns.append(_turn(turn))
            except (ValueError, TypeError, re.error) as error:
                raise ConfigurationError(f"The script {path}, turn {number}: {error}.") from None
    return Script(path.stem, turns)


def load_packaged() -> Script:
    """Read all packaged scripts as one."""
    turns = [turn for path in sorted(PACKAGED.glob("*.yaml")) for turn in load(path).turns]
    return Script("demo", turns)


def packaged_names() -> list[str]:
    """List the names of the packaged scripts."""
    return sorted(path.stem for path in PACKAGED.glob("*.yaml"))


def _turn(turn: Any) -> ScriptedTurn:
    if not isinstance(turn, dict) or set(turn) != {"when", "do"}:
        raise ValueError("a turn must have exactly the fields when and do")
    when, pattern = turn["when"], None
    if isinstance(when, dict) and set(when) == {"regex"}:
        when = str(when["regex"])
        pattern = re.compile(when, re.IGNORECASE)
    if not isinstance(when, str) or not when.strip():
        raise ValueError("when must be a string, or a mapping with regex")
    if not isinstance(turn["do"], list) or not turn["do"]:
        raise ValueError("do must be a list of entries such as think, shell and say")
    steps: list[list[Move]] = [[]]
    for entry in turn["do"]:
        if steps[-1] and isinstance(steps[-1][-1], ScriptedCall):
            steps.append([])
        steps[-1] += _moves(entry)
    return ScriptedTurn(when, pattern, steps)


def _moves(entry: Any) -> list[Move]:
    match entry:
        case {"think": str(text), **rest} if not rest:
            return [Think(text.strip())]
        case {"say": str(text), **rest} if set(rest) <= {"quote"}:
            return [_say(text, rest.get("quote") or {})]
        case dict() if entry and set(entry) <= {"shell", "tool", "call"}:
            shell: list[Move] = [_shell(entry["shell"])] if "shell" in entry else []
            tools = [_tool(each) for each in _listed(entry.get("tool", []))]
            return [*shell, *tools, *(_call(call) for call in _listed(entry.get("call", [])))]
    raise ValueError("an entry of do must be think, or say (with quote), or any of shell, tool and call")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _tool(call: Any) -> ScriptedCall:
    match call:
        case {"type": str(kind), **rest} if kind and set(rest) <= {"arguments", "name"}:
            arguments, name = rest.get("arguments", {}), rest.get("name")
            if isinstance(arguments, dict) and isinstance(name, str | None):
                return ScriptedCall(kind, json.dumps(arguments, ensure_ascii=False), name)
    raise ValueError("a tool must have a type; its arguments must be a mapping, its name a text")


def _call(call: Any) -> ScriptedCall:
    match call:
        case {"name": str(name), **rest} if name and set(rest) <= {"arguments"}:
            arguments = rest.get("arguments", {})
            if isinstance(arguments, dict):
                return ScriptedCall("function", json.dumps(arguments, ensure_ascii=False), name)
    raise ValueError("a call must have a name; its arguments must be a mapping")


def _shell(shell: Any) -> ScriptedCall:
    limits: dict[str, Any] = {}
    if isinstance(shell, dict):
        limits = {name: value for name, value in shell.items() if name != "commands"}
        if not set(limits) <= {"timeout_ms", "max_output_length"}:
            raise ValueError("the fields of shell are commands, timeout_ms and max_output_length")
        if not all(isinstance(value, int) and value > 0 for value in limits.values()):
            raise ValueError("timeout_ms and max_output_length must be whole numbers above 0")
        shell = shell.get("commands")
    commands = [shell] if isinstance(shell, str) else shell
    if not isinstance(commands, list) or not commands or not all(isinstance(c, str) for c in commands):
        raise ValueError("shell must be a command or a list of commands")
    return ScriptedCall("shell", json.dumps({"commands": commands, **limits}, ensure_ascii=False))


def _say(text: str, quote: Any) -> Say:
    if not isinstance(quote, dict):
        raise ValueError("quote must map names to regular expressions")
    patterns = {str(name): re.compile(str(pattern), re.MULTILINE) for name, pattern in quote.items()}
    for match in PLACEHOLDER.finditer(text):
        if match[1] is not None and match[1] not in patterns:
            raise ValueError(f"say contains {{{match[1]}}}, but quote has no entry for it")
    return Say(text.strip(), patterns)
