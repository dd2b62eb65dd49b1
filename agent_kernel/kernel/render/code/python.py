"""Colour Python code, in the escape sequences that commands use. Pure."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.lexer import Lexer

LONGEST = 20_000
"""Characters that are coloured; the rest stays plain."""


@cache
def _lexer() -> tuple[Lexer, dict[Any, str]]:
    from pygments.lexers.python import PythonLexer
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    colours = {
        Comment: "2;3",
        Keyword: "35",
        Operator.Word: "35",
        String: "32",
        Number: "36",
        Name.Builtin: "34",
        Name.Function: "34",
        Name.Class: "34",
        Name.Decorator: "33",
    }
    return PythonLexer(stripnl=False, ensurenl=False), colours


def coloured(code: str) -> str:
    """Return code that was cleaned with its colours; taken out again, the code is what it was."""
    lexer, colours = _lexer()
    found = []
    for kind, text in lexer.get_tokens(code[:LONGEST]):
        colour = next((colours[each] for each in reversed(kind.split()) if each in colours), None)
        found.append(text if colour is None or not text.strip() else f"\x1b[{colour}m{text}\x1b[0m")
    return "".join(found) + code[LONGEST:]
