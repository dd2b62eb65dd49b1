"""Recognises the error of an upstream for a request that does not fit the model's context window."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_CODES = (
    "context_length_exceeded", "exceed_context_size_error", "contextwindowexceedederror",
    "context_window_exceeded", "model_context_window_exceeded", "string_above_max_length",
    "request_too_large",
)  # fmt: skip
"""Codes and types of the error, in lower case."""

_WORDS = re.compile(
    r"context (?:length|window|size|limit)\b.*"
    r"(?:exceed|overflow|reduce|longer|only|larger|too (?:long|large)|increas|tokens)"
    r"|(?:exceed|overflow|longer|larger|greater|too (?:long|large))\w*\b.*"
    r"\bcontext (?:length|window|size|limit)"
    r"|too large for model with \d+ maximum context"
    r"|contextwindowexceeded|context the overflows"
    r"|maximum (?:model|prompt|input) length|max_seq_len"
    r"|(?:prompt|input) (?:is )?too long|too many tokens"
    r"|input token count\b.*exceed|input tokens exceed|`inputs`.*must (?:have|be)"
    r"|request too large for|string too long",
    re.DOTALL,
)

_N = r"(\d[\d,]*)"
_IS = r"(?:\s|is|of|only|to|:|=|\()*"
_WINDOW = (
    rf">\s*{_N}\b(?!-)",
    rf"max_seq_len{_IS}{_N}",
    rf"context (?:length|window|size|limit){_IS}{_N}",
    rf"maximum (?:model|prompt|input) length{_IS}{_N}",
    rf"(?:<=|less than|cannot exceed)\s*{_N}",
    rf"model with {_N} maximum",
    rf"(?:tokens allowed|configured limit|\(tpm\): limit){_IS}{_N}",
)
_TOKENS = (
    rf"{_N} (?:tokens )?(?:in the messages|from the input)",
    rf"(?:has|passed) {_N} input tokens",
    rf"resulted in {_N}",
    rf"{_N}\s*\+\s*\d+ >",
    rf"{_N}(?: tokens)? > \d",
    rf"(?:prompt|request) contains {_N}",
    rf"given: {_N}",
    rf"request(?:ed)?(?: tokens)? \(?{_N}",
    rf"input (?:token count )?\({_N}",
    rf"length {_N}\)? is",
    rf"first {_N} tokens",
)
_LEAST_WINDOW = 64
"""Tokens. A smaller number in an error is something else."""


@dataclass(frozen=True)
class Overflow:
    """The tokens of a request that did not fit, and those that fit, as far as the upstream says."""

    tokens: int | None = None
    window: int | None = None

    def described(self) -> str:
        """Return the numbers as half a sentence with a space before it; empty if none is known."""
        parts = [f"it has {self.tokens:,} tokens"] if self.tokens else []
        parts += [f"{self.window:,} fit"] if self.window else []
        return f" ({', '.join(parts)})" if parts else ""


def overflow_in(body: Any, code: object = None) -> Overflow | None:
    """Return the overflow that an error reports, None if it reports something else.

    `body` is the error object or its message; `code` is its code or type, if known apart from it.
    """
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    text = " ".join(_said(body)).lower()
    kinds = (code, fields.get("code"), fields.get("type"))
    known = any(isinstance(each, str) and each.lower().startswith(_CODES) for each in kinds)
    if not known and not _WORDS.search(text):
        return None
    window = _whole(fields.get("n_ctx")) or _number(_WINDOW, text)
    tokens = _whole(fields.get("n_prompt_tokens")) or _number(_TOKENS, text)
    return Overflow(tokens, window if window is not None and window >= _LEAST_WINDOW else None)


def _said(body: Any) -> Iterator[str]:
    """Yield the message of an error and of the error in it, but no field that may repeat the request."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for name in ("message", "error", "detail", "metadata", "raw"):
            yield from _said(body.get(name))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _number(patterns: tuple[str, ...], text: str) -> int | None:
    for pattern in patterns:
        if (found := re.search(pattern, text)) is not None:
            return int(found[1].replace(",", ""))
    return None
