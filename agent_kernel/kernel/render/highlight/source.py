"""Colour source code, in the escape sequences that commands use. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pygments.lexer import Lexer

Language = Literal["python", "bash"]

LONGEST = 20_000
"""Characters that are coloured; the rest stays plain."""


@cache
def _lexer(language: Language) -> Lexer:
    if language == "python":
        from pygments.lexers.python import PythonLexer

        return PythonLexer(stripnl=False, ensurenl=False)
    from pygments.lexers.shell import BashLexer

    return BashLexer(stripnl=False, ensurenl=False)


@cache
def _colours() -> dict[Any, str]:
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    return {
        Comment: "2;3",
        Keyword: "35",
        Operator.Word: "35",
        String: "32",
        Number: "36",
        Name.Builtin: "34",
        Name.Function: "34",
        Name.Class: "34",
        Name.Decorator: "33",
        Name.Variable: "33",
    }


def coloured(code: str, language: Language = "python") -> str:
    """Return code that was cleaned with its colours; taken out again, the code is what it was."""
    colours = _colours()
    found = []
    for kind, text in _tokens(code[:LONGEST], language):
        colour = next((colours[each] for each in reversed(kind.split()) if each in colours), None)
        found.append(text if colour is None or not text.strip() else f"\x1b[{colour}m{text}\x1b[0m")
    return "".join(found) + code[LONGEST:]


def _tokens(code: str, language: Language) -> Iterator[tuple[Any, str]]:
    """Yield the tokens of the code. A line needs an end for the lexer to see a comment on it."""
    left = len(code)
    for kind, text in _lexer(language).get_tokens(f"{code}\n"):
        yield kind, text[:left]
        left = max(0, left - len(text))
