"""The secrets of one container: what stands for them inside, and where each may go."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent_kernel.egress.tls.needles import Needles

Headers = Sequence[tuple[bytes, bytes]]

MOST_LOGINS = 64
"""Different names with which a container may use one host's secrets in Basic credentials."""

MAX_HEADERS = 128 << 10
"""Bytes of a request's headers with the values in place."""

_BASIC = re.compile(rb"\s*basic\s+([A-Za-z0-9+/_=-]+)\s*", re.IGNORECASE)


class Misplaced(ValueError):
    """A placeholder is where it cannot be replaced; the argument says so, as a phrase."""


@dataclass(frozen=True)
class DomainSecret:
    """A secret for one host. Programs inside see `placeholder` as the variable `name`.

    `value` is None if this process does not know it.
    """

    domain: str
    name: str
    placeholder: str
    value: str | None = field(default=None, repr=False)


class HostSecrets:
    """The secrets of one host: replaces placeholders in its requests, and values in its responses.

    `others` are the container's secrets for other hosts: their placeholders are refused.
    """

    def __init__(self, domain: str, own: Iterable[DomainSecret], others: Iterable[DomainSecret]) -> None:
        self.domain = domain
        self._own = tuple(own)
        self._others = tuple(others)
        self.hidden = Needles()
        """The values, and what was made of them: they are replaced in what the host sends."""
        self.placeholders = Needles()
        self._values = Needles()
        for each in self._own:
            if each.value is not None:
                self._values.add(each.placeholder.encode(), each.value.encode())
        for each in (*self._own, *self._others):
            self.placeholders.add(each.placeholder.encode(), b"")
            if each.value is not None:
                self.hidden.add(each.value.encode(), each.placeholder.encode())
        self._kept = len(self.hidden)

    @property
    def unknown(self) -> str | None:
        """The name of a secret whose value is not known, or None."""
        return next((each.name for each in self._own if each.value is None), None)

    def filled(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return a request's headers with the values in place. Raises `Misplaced`."""
        filled = [(name, self._filled(name, value)) for name, value in headers]
        if sum(len(name) + len(value) for name, value in filled) > MAX_HEADERS:
            raise Misplaced("its request headers are too large")
        return filled

    def _filled(self, name: bytes, value: bytes) -> bytes:
        if self.placeholders.found_in(name):
            raise Misplaced("a secret is used in the name of a header")
        login = _BASIC.fullmatch(value)
        decoded = None if login is None else _decoded(login[1])
        if decoded is not None and self.placeholders.found_in(decoded):
            return self._basic(decoded)
        return self._replaced(value)

    def _basic(self, decoded: bytes) -> bytes:
        """Return Basic credentials with the value in place, and remember to hide them too."""
        sent = base64.b64encode(self._replaced(decoded))
        if sent not in self.hidden:
            if len(self.hidden) >= self._kept + MOST_LOGINS:
                raise Misplaced(f"a secret is used with more than {MOST_LOGINS} different user names")
            self.hidden.add(sent, base64.b64encode(decoded))
        return b"Basic " + sent

    def _replaced(self, text: bytes) -> bytes:
        replaced = self._values.replace(text)
        if self.placeholders.found_in(replaced):
            raise Misplaced("a secret of another host is used in its request")
        return replaced


def _decoded(text: bytes) -> bytes | None:
    """Return Basic credentials in clear; None if they are not readable."""
    padded = text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4)
    try:
        return base64.b64decode(padded.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except binascii.Error:
        return None


def names_placeholder(placeholders: Needles, text: bytes) -> bool:
    """Whether text that goes out unread holds a placeholder, as it is or in Basic credentials."""
    if placeholders.found_in(text):
        return True
    logins = (_decoded(found[1]) for found in _BASIC.finditer(text))
    return any(login is not None and placeholders.found_in(login) for login in logins)
