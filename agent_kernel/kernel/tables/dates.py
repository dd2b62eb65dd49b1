"""Recognise dates as people write them: `2024-01-31`, `31.01.2024`, `1/31/24 9:30 PM`, `Jan 31, 2024`."""

from __future__ import annotations

import re
from collections.abc import Set

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"[12]\d{3}"
_TIME = r"(?:(?:T|,? )\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]m)?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?)"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?( ?(Z|[+-]\d\d:?\d\d))?")
_NAMED = (
    ("day month", rf"{_WEEKDAY}{_DAY}([ -]){_MONTH}\1(?:{_YEAR}|\d\d){_TIME}?"),
    ("month day", rf"{_WEEKDAY}{_MONTH} {_DAY},? {_YEAR}{_TIME}?"),
    ("month year", rf"{_MONTH}[ -]{_YEAR}"),
)
_NUMERIC = re.compile(
    rf"(?:(?P<y>{_YEAR})(?P<s>[/.])(?P<m>\d\d?)(?P=s)(?P<d>\d\d?)"
    rf"|(?P<a>\d\d?)(?P<t>[/.-])(?P<b>\d\d?)(?P=t){_YEAR}"
    rf"|(?P<e>\d\d?)/(?P<f>\d\d?)/\d\d"
    rf"|(?P<g>\d\d)\.(?P<h>\d\d)\.\d\d"
    rf"|(?P<c>{_YEAR}-(?:0[1-9]|1[0-2]))"
    rf"|(?P<p>{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?= ?T? ?\d\d?:)"
    rf"){_TIME}?",
    re.IGNORECASE,
)
_COMPILED = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _NAMED)
_LONGEST = 40


def form_of(text: str) -> str:
    """Return the form of a date, or nothing if the text is not a date.

    Forms with the day before the month end in `dm`, those with the month first in `md`, and those that may be
    either in `dm?`.
    """
    if not 6 <= len(text) <= _LONGEST or not any(c in "0123456789" for c in text):
        return ""
    if _ISO.fullmatch(text):
        return "iso"
    if found := _NUMERIC.fullmatch(text):
        return _numeric_form(found)
    return next((name for name, pattern in _COMPILED if pattern.fullmatch(text)), "")


def _numeric_form(found: re.Match[str]) -> str:
    groups = found.groupdict()
    if groups["y"]:
        return "ymd" + groups["s"] if _is_month(groups["m"]) and _is_day(groups["d"]) else ""
    if groups["c"] or groups["p"]:
        return "iso month" if groups["c"] else "packed"
    first, second = next((groups[a], groups[b]) for a, b in ("ab", "ef", "gh") if groups[a])
    orders = [
        order
        for order, day, month in (("dm", first, second), ("md", second, first))
        if _is_day(day) and _is_month(month)
    ]
    sign = groups["t"] or ("/" if groups["e"] else ".")
    return f"{sign} {orders[0] if len(orders) == 1 else 'dm?'}" if orders else ""


def agree(forms: Set[str]) -> bool:
    """Return whether values of these forms can be dates of one column."""
    certain = {form for form in forms if not form.endswith("?")}
    doubtful = forms - certain
    if len(certain) > 1 or len(doubtful) > 1:
        return False
    return not certain or all(next(iter(certain))[:1] == form[:1] for form in doubtful)


def _is_month(number: str) -> bool:
    return 1 <= int(number) <= 12


def _is_day(number: str) -> bool:
    return 1 <= int(number) <= 31
