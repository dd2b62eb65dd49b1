"""The contents of a cassette, as immutable values. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

VERSION = 1
"""The format that this version writes, and the newest that it reads."""

FIRST_WORDS = 72
"""Characters of a prompt that name its cell."""

CELL_KEY, PROMPT_KEY = "agent_kernel.cell", "agent_kernel.prompt"
"""Fields of a request's `client_metadata`: the cell's id in the notebook, and the digest of its prompt."""

PREFIX = "replay/"
"""The prefix of the models that play cassettes."""

MODES = ("fail", "warn", "ignore")
"""What a difference between a run and its cassette does: fail the cell, show a report, or nothing."""

ENDINGS = ("max_output_tokens", "content_filter", "agent_kernel.max_step_tokens")
"""Reasons for which a model's answer ends early, so that the answer is whole as it is."""


@dataclass(frozen=True)
class PrintedOutput:
    """What one command or piece of code printed, in the form of `text.kept`.

    `ended` says how it ended if it failed: `exit 1`, `timed out`, `ValueError: ...`.
    """

    stdout: str = ""
    stderr: str = ""
    ended: str = ""


@dataclass(frozen=True)
class SaidText:
    """A piece of text of the model: a paragraph of a reasoning summary, an answer or a refusal."""

    kind: Literal["reasoning", "message", "refusal"]
    text: str
    phase: str = ""
    """The phase of a message, if the model named one."""


@dataclass(frozen=True)
class SaidCall:
    """A call of a tool. `fields` are those of its item that the model wrote.

    `printed` has one entry for each command, or one for code; None if the call did not run or its tool's
    output is not compared.
    """

    tool: str
    fields: Mapping[str, Any]
    printed: tuple[PrintedOutput, ...] | None = None

    @property
    def commands(self) -> list[str]:
        """What ran, in the order of `printed`: the commands, the code, or the tool's name."""
        action = self.fields.get("action")
        found = action.get("commands") if isinstance(action, Mapping) else self.fields.get("code")
        if isinstance(found, Sequence) and not isinstance(found, str):
            return [str(each) for each in found]
        return [found if isinstance(found, str) else self.tool]


@dataclass(frozen=True)
class SaidRejected:
    """A call that could not be carried out, and why."""

    name: str
    arguments: str
    why: str


Said = SaidText | SaidCall | SaidRejected

RecordedStep = tuple[Said, ...]
"""What the model said between two sets of results."""


@dataclass(frozen=True)
class RecordedCell:
    """One cell: its id in the notebook ("" if unknown), first words, digests, and the model's steps.

    `prompt` is the digest of the cell's prompt, `request` that of what else was sent. `ended` is one of
    `ENDINGS`, or "".
    """

    cell: str
    asks: str
    prompt: str
    request: str
    steps: tuple[RecordedStep, ...]
    ended: str = ""

    @property
    def name(self) -> str:
        """The cell as people know it."""
        return cell_name(self.cell, self.asks)

    def calls(self) -> list[tuple[int, SaidCall]]:
        """Return its calls, each with the number of its step from 1."""
        return [
            (number, said)
            for number, step in enumerate(self.steps, 1)
            for said in step
            if isinstance(said, SaidCall)
        ]


@dataclass(frozen=True)
class Surroundings:
    """Where a cassette was recorded: the sandbox, the digest of its image, and versions of packages."""

    sandbox: str = ""
    image: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cassette:
    """A whole cassette. `notebook` is the notebook's file name, `model` the model that was recorded."""

    notebook: str = ""
    model: str = ""
    recorded_in: Surroundings = Surroundings()
    cells: tuple[RecordedCell, ...] = ()

    def find(self, cell: str, prompt: str, again: int = 0) -> RecordedCell | None:
        """Return the cell with this prompt's digest: the one with this id, or else the `again`th of them.

        Fewer than that: the last one.
        """
        same = [each for each in self.cells if each.prompt == prompt]
        if cell:
            for each in same:
                if each.cell == cell:
                    return each
        return same[min(again, len(same) - 1)] if same else None

    def with_cell(self, new: RecordedCell, order: Sequence[str] = ()) -> Cassette:
        """Return the cassette with a cell added, or replaced if it was recorded before.

        `order` are the ids of the notebook's cells, as far as they are known. A cell without an id replaces
        one with the same prompt.
        """
        cells = list(self.cells)
        at = next((place for place, each in enumerate(cells) if _same(each, new)), None)
        if at is None:
            cells.append(new)
        else:
            cells[at] = new
        places = {cell: place for place, cell in enumerate(order)}
        if all(each.cell in places for each in cells):
            cells.sort(key=lambda each: places[each.cell])
        return replace(self, cells=tuple(cells))

    def texts(self) -> Iterator[str]:
        """Yield the first words of each cell, for messages."""
        yield from (each.name for each in self.cells)


def _same(one: RecordedCell, other: RecordedCell) -> bool:
    if one.cell or other.cell:
        return one.cell == other.cell
    return one.prompt == other.prompt


def cell_name(cell: str, asks: str) -> str:
    """Return how messages name a cell: its id, if it has one, and its first words."""
    return f"{cell} “{asks}”" if cell else f"“{asks}”"


def first_words(prompt: str) -> str:
    """Return the beginning of a prompt, on one line."""
    line = " ".join(prompt[: 4 * FIRST_WORDS].split())
    return line if len(line) <= FIRST_WORDS else line[: FIRST_WORDS - 1].rstrip() + "…"


def digest(text: str) -> str:
    """Return a short digest of a text, which ignores how its white space is laid out."""
    plain = " ".join(text.split()).encode("utf-8", "replace")
    return hashlib.sha256(plain).hexdigest()[:16]
