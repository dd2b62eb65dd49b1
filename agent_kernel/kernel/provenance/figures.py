"""Find the figures of an answer: the numbers that claim something about the data. Pure.

A figure is a number (see `numbers`) in the prose or a table of an answer, but none of these:

- digits 0 to 9 alone, and 10, 100, 1000 …, also as percentages: they are in every output;
- what numbers something: list items, headings, `Figure 3`, `step 2`, `row 12`, `#4`;
- years, days of a month, dates, times, versions (`2024`, `3 March`, `Python 3.11`), ordinals (`1st`);
- limits and levels: `p < 0.05`, `95% CI`;
- numbers that can be read in two ways (`12 345`, which may be two).

Code, formulas, addresses and the texts of links are left out by `marks`, which knows the Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from agent_kernel.kernel.provenance.numbers import EXACT, Number, numbers

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_NUMBERED = re.compile(
    r"(?:\b(?:fig(?:ure|\.)?|tab(?:le|\.)|section|chapter|appendix|equation|eq\.|page|step|cell|line|row|column"
    r"|item|question|part|phase|day|week|month|quarter|level|class|group|cluster|fold|seed|output|id"
    r"|exit code|no\.|nr\.|number|model|top|first|last|version|release|python|pandas|numpy|scipy|matplotlib"
    r"|seaborn|polars|scikit-learn|sklearn|statsmodels|ubuntu|debian|cuda|sqlite|duckdb|postgresql|java|node|gpt)"
    r"[  -]?|[\w(|*)\]][ ]?[<>≤≥]=?[ ]?|\^)$",
    re.IGNORECASE,
)
"""What stands before a number that names something, or that is a limit."""

_LIST_ITEM = re.compile(r"(?:^|\n)[ \t]*(?:(?:[>*+-]|\|)[ \t]*)*$")
_HEADING = re.compile(r"(?:^|\n)[ ]{0,3}#{1,6}[ \t]+(?:\*\*)?$")
_BEFORE_DAY = re.compile(rf"\b{_MONTH}\.?[ ]$")
_AFTER_DAY = re.compile(rf"\.?[ ](?:of[ ])?{_MONTH}\b")
_LEVEL = re.compile(r"[ -](?:CIs?\b|HDI\b|confidence|credible|prediction|significance)", re.IGNORECASE)
_LOOK = 24
"""Characters before a number that may say what it is."""


def figures(text: str) -> Iterator[Number]:
    """Yield the figures of an answer in Markdown, in order, from outside of its addresses."""
    for number in numbers(without_addresses(text), prose=True):
        if number.value is not None and not _is_common(number) and not _is_name(text, number):
            yield number


_ADDRESS = re.compile(
    r"\]\([^()\n]*\)|\b[a-z]{2,10}://\S+|<[^<>\s]*>|^[ ]{0,3}\[[^\]\n]{1,99}\]:[^\n]*|&#?\w{1,31};"
    r"|^\[\.\.\. [\d,]+ characters left out of the notebook \.\.\.\]$",
    re.MULTILINE,
)


def without_addresses(text: str) -> str:
    """Return the Markdown with blanks in place of addresses and entities: nothing may be put into those."""
    return _ADDRESS.sub(lambda found: " " * len(found[0]), text)


def _is_common(number: Number) -> bool:
    """Return whether the number is so frequent that equality means nothing."""
    value = abs(number.value or Decimal(0))
    if (number.signed and value) or number.place < 0:
        return value == 0
    return value < 10 or value.normalize(EXACT).as_tuple().digits == (1,)


def _is_name(text: str, number: Number) -> bool:
    """Return whether the number names, dates, numbers or limits something."""
    before, after = text[max(0, number.start - _LOOK) : number.start], text[number.end : number.end + _LOOK]
    whole = number.text.isdecimal()
    if _NUMBERED.search(before) or (number.percent and _LEVEL.match(after)):
        return True
    if whole and len(number.text) == 4 and "1800" <= number.text < "2200":
        return True
    if after[:1] in (".", ")") and (after[1:2].isspace() or not after[1:]) and _LIST_ITEM.search(before):
        return whole
    if _HEADING.search(before):
        return not number.percent and "," not in number.text
    return whole and len(number.text) < 3 and bool(_BEFORE_DAY.search(before) or _AFTER_DAY.match(after))
