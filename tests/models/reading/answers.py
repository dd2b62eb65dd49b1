"""Random answers of a model, which each dialect's player streams in a random way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

WORDS = ["Hello", " ", "\n", "wörld", "\U0001f600", "{", "}", "```", "<tool_call>", "ß\U0001f469‍\U0001f4bb"]

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """Text, or reasoning."""

    text: str
    is_reasoning: bool = False


@dataclass(frozen=True)
class Called:
    """A call of the shell, or of the client's function `plot`. `number` makes each call another one."""

    name: str
    number: int

    @property
    def arguments(self) -> str:
        """The arguments as JSON, which differ in each call."""
        if self.name == "shell":
            return json.dumps(
                {"commands": [f"echo {self.number}", "echo 'ü \U0001f600'"]}, ensure_ascii=False
            )
        return json.dumps({"x": self.number})


@dataclass
class Answer:
    """The parts of one answer, in order, and how it ends."""

    parts: list[Said | Called] = field(default_factory=list)
    is_cut: bool = False
    """Whether it ended at its limit of tokens: its last call may be incomplete, and must not run."""

    def text(self, *, reasoning: bool = False) -> str:
        """Return the whole text, or the whole reasoning."""
        return "".join(
            part.text for part in self.parts if isinstance(part, Said) and part.is_reasoning is reasoning
        )

    def ends_in_call(self) -> bool:
        """Return whether a call is the last part."""
        return bool(self.parts) and isinstance(self.parts[-1], Called)

    def calls(self) -> list[Called]:
        """Return the calls, in order."""
        return [part for part in self.parts if isinstance(part, Called)]


def random_answer(random: Random) -> Answer:
    """Return an answer of up to five parts."""
    parts: list[Said | Called] = []
    for number in range(random.randint(0, 5)):
        if random.random() < 0.5:
            text = "".join(random.choices(WORDS, k=random.randint(1, 6)))
            parts.append(Said(text, is_reasoning=random.random() < 0.3))
        else:
            parts.append(Called(random.choice(["shell", "shell", "plot"]), number))
    return Answer(parts, is_cut=random.random() < 0.15)


def pieces(random: Random, text: str) -> list[str]:
    """Cut text at random, sometimes in the middle of a character beyond the basic plane."""
    units = text.encode("utf-16-le")
    places = range(2, len(units), 2)
    cuts = sorted(random.sample(places, random.randint(0, min(4, len(places)))))
    cut = [units[a:b] for a, b in zip([0, *cuts], [*cuts, len(units)], strict=True)]
    return [each.decode("utf-16-le", "surrogatepass") for each in cut]


def merged(random: Random, streams: list[list[Json]]) -> list[Json]:
    """Mix several streams at random; each keeps its order."""
    waiting = [list(each) for each in streams if each]
    mixed = []
    while waiting:
        chosen = random.choice(waiting)
        mixed.append(chosen.pop(0))
        waiting = [each for each in waiting if each]
    return mixed
