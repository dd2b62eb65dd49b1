"""What must not get into a cassette: keys that the product holds, well-known forms of keys, and patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent_kernel.errors import ConfigurationError

REDACTED = "[redacted]"

SHORTEST = 6
"""Characters: a shorter secret is not searched for, because it would match ordinary words."""

WELL_KNOWN = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}|\bgh[opsu]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-[\w-]{10,}|\bhf_[A-Za-z0-9]{20,}"
    r"|-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----[A-Za-z0-9+/=\s]{0,8192}"
    r"(?:-----END [A-Z ]{0,24}PRIVATE KEY-----)?"
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,}=*"
)
"""Forms of keys and tokens that services give out, and private keys."""


class Redaction:
    """Replaces secrets in texts. `secrets` are exact values, `patterns` regular expressions.

    Raises `ConfigurationError` for an invalid pattern, or one that matches everywhere.
    """

    def __init__(self, secrets: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        known = sorted({each for each in secrets if len(each) >= SHORTEST}, key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, known))) if known else None
        self._patterns = [_compiled(each) for each in patterns]

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if self._exact is not None:
            text = self._exact.sub(REDACTED, text)
        text = WELL_KNOWN.sub(REDACTED, text)
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text

    def value(self, value: Any) -> Any:
        """Return a value of JSON without secrets in any of its texts; names of fields stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(inner) for inner in value]
        return value


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(
            f"AGENT_KERNEL_RECORD_REDACT: {pattern!r} is not a regular expression: {error}.",
            hint="Correct the pattern; docs/configuration.md describes the setting.",
        ) from None
    if compiled.search(""):
        raise ConfigurationError(
            f"AGENT_KERNEL_RECORD_REDACT: {pattern!r} matches an empty text, and so everywhere.",
            hint="Write a pattern that needs at least one character.",
        )
    return compiled
