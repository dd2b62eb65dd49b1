"""Find what a figure was printed as: an index of the numbers in a turn's outputs. Pure, with bounds.

A figure is linked to an output only if one value alone can be meant:

1. the same value, or the same characters;
2. the same number with or without `%`; for a percentage also a hundredth of it;
3. a number that rounds to the figure, or that has the other sign (`fell by 3.2`, printed as `-3.2`).

The first of these that any output has decides. If several values round to the figure, it is ambiguous, unless
they are roundings of one of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from agent_kernel.kernel.provenance.numbers import EXACT, Number, numbers

MOST_CHARACTERS = 2_000_000
"""Characters of one turn's outputs that are searched."""

MOST_NUMBERS = 50_000
"""Numbers of one turn's outputs that are kept."""

MOST_CANDIDATES = 50
"""Values that may round to one figure before it is called ambiguous without a further look."""

_AROUND = 50
"""Characters of the line that are shown before a number and after it."""

_CUT = re.compile(r"\n\[\.\.\. [\d,]+ characters left out[^\n]*\]\n")
"""Where an output was shortened."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A number in an output. `output` counts the turn's outputs from 1."""

    output: int
    number: Number
    whole: str
    """The text that it stands in."""

    @property
    def text(self) -> str:
        """The number as printed."""
        return self.number.text

    @property
    def line(self) -> str:
        """The line around it, cut."""
        start, end = self.number.start, self.number.end
        before = self.whole[max(0, start - _AROUND) : start].rpartition("\n")[2]
        after = self.whole[end : end + _AROUND].partition("\n")[0]
        cut = ["…" if len(each) == _AROUND else "" for each in (before, after)]
        return " ".join(f"{cut[0]}{before}{self.text}{after}{cut[1]}".split())


@dataclass(frozen=True, slots=True)
class Source:
    """What a figure was printed as. `rounded`: the figure has fewer digits. `others`: further outputs."""

    printed: Printed
    rounded: bool = False
    others: int = 0


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several values may be meant; some of them, as printed."""

    texts: Sequence[str]


@dataclass
class _Values:
    """Numbers of one kind by value, each with the first place in every output."""

    places: dict[Decimal, list[Printed]] = field(default_factory=dict)
    _sorted: list[Decimal] = field(default_factory=list)

    def add(self, value: Decimal, printed: Printed) -> None:
        known = self.places.setdefault(value, [])
        if not known or known[-1].output != printed.output:
            known.append(printed)

    def near(self, figure: Decimal, place: int) -> list[Decimal]:
        """Return the other values that round to the figure at this place, at most `MOST_CANDIDATES` + 1."""
        if len(self._sorted) != len(self.places):
            self._sorted = sorted(self.places)
        half = EXACT.scaleb(Decimal(5), place - 1)
        first = bisect_left(self._sorted, EXACT.subtract(figure, half))
        last = bisect_right(self._sorted, EXACT.add(figure, half))
        found = self._sorted[first : min(last, first + MOST_CANDIDATES + 2)]
        return [each for each in found if each != figure]


class Evidence:
    """The numbers printed so far in one turn."""

    def __init__(self) -> None:
        self.outputs = 0
        self.complete = True
        """Whether all was kept and searched: only then a figure may be said to have no source."""
        self._plain, self._percent = _Values(), _Values()
        self._written: dict[str, list[Printed]] = {}
        self._characters = self._numbers = 0

    def add(self, texts: Iterable[str]) -> int:
        """Add what an output shows. Return the output's number."""
        self.outputs += 1
        for text in texts:
            pieces = list(_pieces(text))
            self.complete &= len(pieces) == 1
            for piece in pieces:
                self._add(piece)
        return self.outputs

    def _add(self, text: str) -> None:
        room = MOST_CHARACTERS - self._characters
        if len(text) > room:  # the rest may begin within a number
            text, self.complete = text[: max(0, text.rfind("\n", 0, max(0, room)))], False
        self._characters += len(text)
        for number in numbers(text):
            self._numbers += 1
            if self._numbers > MOST_NUMBERS:
                self.complete = False
                return
            printed = Printed(self.outputs, number, text)
            if number.value is None:
                self._written.setdefault(number.text, []).append(printed)
            else:
                (self._percent if number.percent else self._plain).add(number.value, printed)

    def source_of(self, figure: Number) -> Source | Ambiguous | None:
        """Return what the figure was printed as; None if no output has it."""
        value = figure.value
        if value is None:
            return None
        readings = self._readings(figure)
        own = [*readings[0][0].places.get(value, []), *self._written.get(figure.text, [])]
        exact = own or [
            each for values, shift in readings for each in values.places.get(EXACT.scaleb(value, shift), [])
        ]
        if exact:
            return _latest(exact, rounded=False)
        for place in _places(figure):
            found = [each for reading in readings for each in _near(figure, value, place, *reading)]
            if found:
                return _chosen(found, value)
        return None

    def _readings(self, figure: Number) -> list[tuple[_Values, int]]:
        """Return where the figure's value may be, and its power of ten there; the figure's own kind first."""
        if figure.percent:
            return [(self._percent, 0), (self._plain, 0), (self._plain, -2)]
        return [(self._plain, 0), (self._percent, 0)]


_Candidate = tuple[Decimal, list[Printed]]
"""A value on the figure's scale and with its sign, and where it was printed."""


def _pieces(text: str) -> Iterator[str]:
    """Yield what is left of a shortened text, without the words beside the cuts: they may be half numbers."""
    pieces = _CUT.split(text)
    for number, piece in enumerate(pieces):
        words = re.split(r"\s", piece, maxsplit=1) if number else ["", piece]
        whole = words[-1] if len(words) > 1 else ""
        last = max(whole.rfind(blank) for blank in " \n\t") if number + 1 < len(pieces) else len(whole)
        yield whole[: max(0, last)]


def _near(figure: Number, value: Decimal, place: int, values: _Values, shift: int) -> list[_Candidate]:
    """Return the values that round to the figure, and those that are or round to it without their sign."""
    found: list[_Candidate] = []
    for sign in (1,) if figure.signed else (1, -1):
        wanted = EXACT.scaleb(EXACT.multiply(value, Decimal(sign)), shift)
        near = values.near(wanted, place + shift)
        if sign < 0 and wanted in values.places:
            near.append(wanted)
        for each in near:
            found.append((EXACT.scaleb(EXACT.multiply(each, Decimal(sign)), -shift), values.places[each]))
    return found


def _places(figure: Number) -> list[int]:
    """Return the place to which the figure may be rounded: its last, or that of its last digit but zeros."""
    value = figure.value or Decimal(0)
    digits, exponent = value.normalize(EXACT).as_tuple()[1:]
    coarse = isinstance(exponent, int) and figure.place >= 0 and exponent > figure.place and len(digits) > 1
    return [figure.place, exponent] if coarse and isinstance(exponent, int) else [figure.place]


def _chosen(found: Sequence[_Candidate], value: Decimal) -> Source | Ambiguous:
    """Return the most exact value if all others are its roundings."""
    best, places = min(found, key=lambda each: _place(each[0]))
    if len(found) > MOST_CANDIDATES or any(not _rounds_to(best, other) for other, _ in found):
        return Ambiguous([printed[0].text for _, printed in found[:3]])
    return _latest(places, rounded=best != value)


def _rounds_to(value: Decimal, other: Decimal) -> bool:
    half = EXACT.scaleb(Decimal(5), _place(other) - 1)
    return EXACT.abs(EXACT.subtract(value, other)) <= half


def _place(value: Decimal) -> int:
    """Return the power of ten of the last digit."""
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _latest(places: Sequence[Printed], *, rounded: bool) -> Source:
    latest = max(places, key=lambda each: each.output)
    return Source(latest, rounded, len({each.output for each in places}) - 1)
