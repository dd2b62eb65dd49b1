"""The masking of an upstream's key in the messages that the upstream sends."""

from __future__ import annotations

import re
from collections.abc import Callable

MASK = "***"

_LONG = 8
"""Characters from which a key is masked everywhere."""
_SHORT = 2
"""Characters up to which a key may be an ordinary word of a sentence."""

_NAMED = (
    r"\b(?:api[-_ ]?key|key|token|secret|password|credentials?)[\"'`]?(?:\s+(?:is|was|provided|given|used))?"
)
_SEPARATED = r"\s*[:=][\s\"'`(\[]*|\s+[\"'`(\[]+"
_LETTER, _OTHER = re.compile("[A-Za-z]"), re.compile("[^A-Za-z]")


def masking(key: str | None) -> Callable[[str], str]:
    """Return the function that replaces the key by `***` in a text.

    A key of 8 characters and more is replaced wherever it is. A shorter one may be a word or a part of words,
    like the placeholders `none` and `x` that servers without keys get. It is replaced where the text calls it
    a key (`API key: x`, `Bearer x`), and as a whole word if it has both letters and other characters.
    """
    if not key:
        return lambda text: text
    if len(key) >= _LONG:
        return lambda text: text.replace(key, MASK)
    patterns = [_called_key(key)]
    if len(key) > _SHORT and _LETTER.search(key) and _OTHER.search(key):
        patterns.append(re.compile(rf"(?P<before>(?<![\w-])){re.escape(key)}(?![\w-])"))

    def mask(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub(rf"\g<before>{MASK}", text)
        return text

    return mask


def _called_key(key: str) -> re.Pattern[str]:
    """Return the pattern of a short key after a word for keys."""
    separated = _SEPARATED if len(key) <= _SHORT else rf"{_SEPARATED}|\s+"
    before = rf"(?P<before>(?i:\bbearer\s+|{_NAMED}(?:{separated})))"
    return re.compile(rf"{before}{re.escape(key)}(?![\w-])")
