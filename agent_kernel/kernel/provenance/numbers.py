"""Read the numbers in a text: their values, and how exactly they are written. Pure, in linear time.

A number is written alone: `3.14`, `-0.5`, `1.5e-05`, `1,234.5`, `12%`, `12k`, `1.2 million`. Digits within
names, paths, dates, times, versions, ranges and fractions (`x1`, `/data/2024`, `2024-03-01`, `12:30`,
`1.2.3`, `3/4`) do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal

EXACT = Context(prec=1000)
"""Arithmetic that rounds no number of `LONGEST` characters."""

LONGEST = 60
"""Characters of a number. Longer rows of digits do not count."""

_SPACES = "\u00a0\u2009\u202f"
_RUN = re.compile(
    rf"(?<![\d.])\.[0-9]+|[0-9]+(?:[.,:/'’_{_SPACES}-][0-9]+)*"  # .5, or digits and what joins them
)
_SPACED = re.compile(r"(?<![0-9,.])[0-9]{1,3}(?: [0-9]{3})+(?:,[0-9]+)?(?![0-9,.]*[0-9])")
_GROUPED = re.compile(
    rf"(?P<whole>[0-9]{{1,3}}(?:,[0-9]{{3}})+)(?:\.(?P<point>[0-9]+))?"
    rf"|(?P<other>[0-9]{{1,3}}(?:([_'’ {_SPACES}])[0-9]{{3}})(?:\4[0-9]{{3}})*)(?:[.,](?P<either>[0-9]+))?"
    r"|(?P<dots>[0-9]{1,3}(?:\.[0-9]{3})+),(?P<comma>[0-9]+)"
)
_PLAIN = re.compile(r"[0-9]*\.?[0-9]+")
_COMMA = re.compile(r"[0-9]+,[0-9]+")

_EXPONENT = re.compile(
    r"[eE]([+-]?[0-9]{1,3})(?!\w|\.\w)"
    r"| ?[×x] ?10(?:\^|\*\*)?([-−+]?[0-9]{1,3}|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]{1,4})(?!\w)"
)
_SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
_PERCENT = re.compile(rf"[ {_SPACES}]?%(?!\w)|[ -](?:percent|per cent|percentage points?)\b", re.IGNORECASE)
_POWERS = {"k": 3, "K": 3, "M": 6, "bn": 9, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_POWER = re.compile(rf"(k|K|M|bn)(?!\w|\.\w|/)|[ {_SPACES}](thousand|million|billion|trillion)\b")
_UNIT = re.compile(
    r"(?:[kmcµn]?(?:g|s|l|L|W|V|A|Hz)|[kcmµn]m|[kKMGT]?i?B|h|min|px|pt|x|pp|°[CF]?|[€£])(?!\w|\.\w)|(?!\w)"
)
_SIGNS = {"-": "-", "−": "-", "+": "+"}
_NAME = re.compile(r"[\w#@\\/&%$-]")


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text. `text` is as written, with its sign, its unit of thousands and its percent sign.

    `value` is None if it can be read in two ways: only the same characters surely mean the same. `place` is
    the power of ten of the last digit. The value of `12.5%` is 12.5, with `percent` set.
    """

    start: int
    text: str
    value: Decimal | None
    place: int = 0
    percent: bool = False
    signed: bool = False

    @property
    def end(self) -> int:
        """The position after it."""
        return self.start + len(self.text)


def numbers(text: str, *, prose: bool = False) -> Iterator[Number]:
    """Yield the numbers of a printed text, in order.

    In `prose`, `3,14` is a number with a decimal comma and `1 234,5` one with spaces. In printed lines both
    may be columns.
    """
    position = 0
    while (run := _RUN.search(text, position)) is not None:
        spaced = _SPACED.match(text, run.start()) if prose else None
        found = spaced or run
        position = found.end()
        if not _begins_alone(text, found.start()):
            continue
        for number in _spaced(text, spaced) if spaced else _of_run(text, run, prose):
            position = max(position, number.end)  # an exponent has digits too
            yield number


def _of_run(text: str, run: re.Match[str], prose: bool) -> Iterator[Number]:
    """Yield the number that a run of digits and separators is, or the numbers of its list."""
    written, found = run[0], None
    in_list = "," in (text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1].strip())
    in_list = in_list and not text[run.end() + 1 : run.end() + 2].isspace()
    if _PLAIN.fullmatch(written):
        found = _number(text, run.start(), run.end(), written)
    elif (digits := _without_separators(written)) and not ("," in written and in_list and not prose):
        found = _number(text, run.start(), run.end(), digits)
        if found is not None and "," in written and not prose and _is_whole_line(text, found):
            found = Number(found.start, found.text, None)  # one number or two columns
    elif _COMMA.fullmatch(written) and not in_list:
        if prose:
            found = _number(text, run.start(), run.end(), written.replace(",", "."))
        else:
            found = Number(run.start(), written, None)
    elif "," in written and not prose:
        yield from _parts(text, run)
    if found is not None:
        yield found


def _parts(text: str, run: re.Match[str]) -> Iterator[Number]:
    """Yield the numbers of a row of comma-separated values."""
    position = run.start()
    for part in run[0].split(","):
        end = position + len(part)
        if _PLAIN.fullmatch(part):
            found = _number(text, position, end, part, within=end < run.end())
            if found is not None:
                yield found
        position = end + 1


def _spaced(text: str, spaced: re.Match[str]) -> Iterator[Number]:
    """Yield `1 234,5` and `1 234 567`, which are numbers; `12 345` may be two, so its value is unsure."""
    written = spaced[0]
    if written.count(" ") == 1 and "," not in written:
        yield Number(spaced.start(), written, None)
    elif digits := _without_separators(written):
        found = _number(text, spaced.start(), spaced.end(), digits)
        if found is not None:
            yield found


def _number(text: str, start: int, end: int, digits: str, *, within: bool = False) -> Number | None:
    """Return the number written at `start` to `end`, with its sign and what multiplies it.

    `digits` are the same with a decimal point and no separators. None if a name, a date or a version goes on
    behind them; `within` a list nothing does.
    """
    if len(digits) > LONGEST:
        return None
    exponent = percent = scale = None
    if not within:
        exponent = _EXPONENT.match(text, end)
        percent = None if exponent else _PERCENT.match(text, end)
        scale = None if exponent or percent else _POWER.match(text, end)
    tail = exponent or percent or scale
    if tail is not None:
        end = tail.end()
    elif not within and not _ends_alone(text, end):
        return None
    power = int((exponent[1] or exponent[2]).translate(_SUPERSCRIPT)) if exponent else 0
    power = _POWERS[scale[1] or scale[2]] if scale else power
    sign = _SIGNS[text[start - 1]] if _is_sign(text, start - 1) else ""
    value = EXACT.scaleb(EXACT.create_decimal(digits), power)
    return Number(
        start - len(sign),
        text[start - len(sign) : end],
        EXACT.minus(value) if sign == "-" else value,
        power - len(digits.partition(".")[2]),
        percent is not None,
        bool(sign),
    )


def _without_separators(run: str) -> str | None:
    """Return the digits of a number with separators of thousands, with a decimal point; None for others."""
    found = _GROUPED.fullmatch(run)
    if found is None:
        return None
    whole = found["whole"] or found["other"] or found["dots"]
    decimals = found["point"] or found["either"] or found["comma"]
    return re.sub(r"[^0-9]", "", whole) + (f".{decimals}" if decimals else "")


def _begins_alone(text: str, start: int) -> bool:
    """Return whether no name, path or larger number ends where the digits begin."""
    before = text[start - 1 : start] if start else ""
    if before in _SIGNS:
        return _is_sign(text, start - 1)
    if before == "." and start > 1:
        return not re.match(r"[\w./]", text[start - 2])
    if before == "$":  # an amount of money, not the end of a name
        name = start > 1 and re.match(r"[\w$]", text[start - 2])
        return not name or text[max(0, start - 3) : start - 1] in ("US", "CA")
    if before == "*":
        return not re.search(r"\w\*{1,3}$", text[max(0, start - 4) : start])
    return not (before and _NAME.match(before))


def _is_sign(text: str, position: int) -> bool:
    """Return whether the character there is the sign of the number behind it: nothing ends before it."""
    if position < 0 or text[position] not in _SIGNS:
        return False
    return position == 0 or not re.match(r"[\w)\]}%.−+-]", text[position - 1])


def _ends_alone(text: str, end: int) -> bool:
    """Return whether no name, file name, version or date goes on where the number ends."""
    after = text[end : end + 2]
    if after[:1] in ("-", ":", "_", "’", "'", "."):
        return not after[1:].isalnum()
    if after[:1] == "*":
        return not re.match(r"\*{1,3}\w", text[end : end + 4])
    return _UNIT.match(text, end) is not None


def _is_whole_line(text: str, found: Number) -> bool:
    """Return whether the line has nothing else."""
    before, after = text[max(0, found.start - 1) : found.start], text[found.end : found.end + 1]
    return before in ("", "\n") and after in ("", "\n", "\r")
