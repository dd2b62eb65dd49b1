"""The patterns that rules match destinations with: `name`, `*.name` (every name below it), each with `:port`.

They are written as in a network policy. Destinations come in canonical form: ASCII, lower case, no dot at the
end.
"""

from __future__ import annotations

import re

LONGEST_HOST = 300

_PATTERN = re.compile(
    r"(?P<host>(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)


class MalformedHost(ValueError):
    """The text is not a pattern for hosts; the argument continues a sentence that begins with its place."""


def read_host(given: object) -> str:
    """Return a pattern in canonical form. Raises `MalformedHost`."""
    if not isinstance(given, str) or len(given) > LONGEST_HOST:
        raise MalformedHost(f"must be a string of at most {LONGEST_HOST} characters")
    text = given.lower()
    match = _PATTERN.fullmatch(text)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) < 1 << 16):
        raise MalformedHost(
            "is not a host: write `name` or `*.name`, either with `:port` (international names as `xn--...`)"
        )
    return text


def matches(pattern: str, name: str, port: int) -> bool:
    """Return whether a pattern from `read_host` matches a destination. `*.name` does not match `name`."""
    match = _PATTERN.fullmatch(pattern)
    if match is None or (match["port"] is not None and int(match["port"]) != port):
        return False
    host = match["host"].strip("[]")
    return name.endswith(host[1:]) if host.startswith("*.") else name == host
