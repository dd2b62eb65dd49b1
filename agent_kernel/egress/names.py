"""Host names in one canonical form, and text that is safe to show.

A name that a sandbox asks for is a claim. It is compared with a policy only in canonical form: ASCII, lower
case, no trailing dot. Everything that a resolver or a library could read as an address is refused here.
"""

from __future__ import annotations

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_NAME = 253
"""Characters of a host name, as in DNS."""

MAX_SHOWN = 80

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)


class UnusableName(ValueError):
    """The text is not a host name; the argument says why, as a phrase without the text itself."""


def canonical(text: str) -> str:
    """Return a host name in canonical form: ASCII (IDNA), lower case, without one trailing dot.

    Raises `UnusableName` for an address in any notation (`127.1`, `0x7f.1`, `2852039166`, IPv6, zone ids),
    for control characters and spaces, and for a name that DNS cannot hold.
    """
    if len(text) > MAX_NAME + 1:
        raise UnusableName(f"a host name has at most {MAX_NAME} characters")
    if not text.isprintable() or " " in text:
        raise UnusableName("a host name has no spaces or control characters")
    if ":" in text or "%" in text or "[" in text:
        raise UnusableName("an address is not a host name")
    name = text if text.isascii() else _encode(text)
    name = name.lower().removesuffix(".")
    if len(name) > MAX_NAME:
        raise UnusableName(f"a host name has at most {MAX_NAME} characters")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise UnusableName("an address is not a host name")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise UnusableName("it is not a valid host name")
    return name


def _encode(text: str) -> str:
    """Return an international name in its ASCII form."""
    import idna  # its tables take milliseconds to load, and few names need them

    try:
        return idna.encode(text, uts46=True, std3_rules=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise UnusableName("it is not a valid international host name") from error


def literal(text: str) -> Address | None:
    """Return the address that `text` is in canonical notation (`10.0.0.5`, `fd00::1`), otherwise None."""
    if ":" not in text and not text[-1:].isdecimal():  # a name, most often
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address if str(address) == text and not getattr(address, "scope_id", None) else None


def shown(text: str) -> str:
    """Return text from a sandbox so that a message or a log can hold it: short, printable ASCII."""
    safe = "".join(each if " " < each <= "~" else "\N{REPLACEMENT CHARACTER}" for each in text[:MAX_SHOWN])
    return safe + "…" if len(text) > MAX_SHOWN else safe
