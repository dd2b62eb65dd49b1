"""The matching of patterns against shell commands, with the shell grammar needed to do it safely.

A pattern consists of words. `?` matches one character and `*` any number; a last word `*` matches any
number of further words. There are two ways to match, and each errs on the safe side:

- `covers` matches a whole command. It understands lists of plain commands with literal words, joined by `;`,
  `&&`, `||`, `|`, `&` or a newline. No pattern covers anything else that a shell can do: expansion,
  substitution, redirection, compound commands, comments, assignments.
- `occurs` searches a command's text for the pattern, with and without quotes and backslashes. It cannot see
  what a shell assembles only while it runs (`eval`, variables, an encoded script).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

Words = tuple[str, ...]

_ASSIGNS = re.compile(r"=|.\[|\[.")
"""Found in the first word: an assignment, even to an element, can change what any command does."""

_QUOTING = re.compile(r"\\\n|[\\'\"]")


class _NotPlain(Exception):
    """The text contains something other than literal words of plain commands."""


def plain_commands(text: str) -> tuple[Words, ...] | None:
    """Return the plain commands in `text`, each as its words; None if it contains anything else."""
    try:
        commands = tuple(_commands(text))
    except _NotPlain:
        return None
    if not commands or any(_ASSIGNS.search(words[0]) for words in commands):
        return None
    return commands


def covers(pattern: str, words: Words) -> bool:
    """Return whether the pattern matches a whole plain command."""
    globs = pattern.split()
    if globs and globs[-1] == "*":
        globs.pop()
        words = words[: len(globs)] if len(words) >= len(globs) else ()
    return len(globs) == len(words) and all(
        fnmatchcase(word, glob.replace("[", "[[]")) for word, glob in zip(words, globs, strict=True)
    )


def occurs(pattern: str, text: str) -> bool:
    """Return whether the pattern occurs anywhere in a command's text. Takes linear time."""
    return _found(pattern, text) or _found(pattern, _QUOTING.sub("", text))


def kinds(commands: Sequence[str]) -> tuple[str, ...]:
    """Return patterns for the programs of these commands; none if one of them is not plain."""
    found: dict[str, None] = {}
    for command in commands:
        plain = plain_commands(command)
        if plain is None:
            return ()
        for words in plain:
            if not words[0] or re.search(r"[*?\s]", words[0]):
                return ()
            found[f"{words[0]} *"] = None
    return tuple(found)


def _found(pattern: str, text: str) -> bool:
    position = 0
    for segment in _segments(pattern):
        match = segment.search(text, position)
        if match is None:
            return False
        position = match.end()
    return True


@lru_cache(maxsize=1024)
def _segments(pattern: str) -> tuple[re.Pattern[str], ...]:
    """Return the parts between the stars; each must be found after the previous one."""
    parts = [part.strip() for part in pattern.split("*")]
    edges = [part != raw for part, raw in zip(parts, pattern.split("*"), strict=True)]
    segments = []
    for index, part in enumerate(parts):
        if not part:
            continue
        begins = index == 0 and (part[0].isalnum() or part[0] == "_")
        ends = (index == len(parts) - 1 or edges[index]) and (part[-1].isalnum() or part[-1] == "_")
        body = "".join(_piece(each) for each in re.split(r"(\s*[|;&<>()]\s*|\s+|\?)", part))
        segments.append(
            re.compile((r"(?<![\w.-])" if begins else "") + body + (r"(?![\w-])" if ends else ""), re.DOTALL)
        )
    return tuple(segments)


def _piece(text: str) -> str:
    """Return the regular expression for a part of a pattern. Spaces around operators are optional."""
    bare = text.strip()
    if text and not bare:
        return r"\s+"
    if bare in tuple("|;&<>()"):
        return rf"\s*{re.escape(bare)}\s*"
    return "." if bare == "?" else re.escape(text)


def _commands(text: str) -> Iterator[Words]:
    """Yield the commands between separators. Raises `_NotPlain`."""
    words: list[str] = []
    joined = False
    for token in _tokens(text):
        if not isinstance(token, _Separator):
            words.append(token)
        elif words:
            yield tuple(words)
            words, joined = [], token.text in ("&&", "||", "|", "|&")
        elif token.text != "\n":
            raise _NotPlain
    if words:
        yield tuple(words)
    elif joined:  # nothing follows
        raise _NotPlain


class _Separator:
    def __init__(self, text: str) -> None:
        self.text = text


_SEPARATOR = re.compile(r"&&|\|\||\|&|[;&|\n]")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\$`]|\\[^\n])*)"')
_BARE = re.compile(r"[^\s\\'\";&|$`<>(){}]+")


def _tokens(text: str) -> Iterator[str | _Separator]:
    """Yield the words, without quotes, and the separators. Raises `_NotPlain`."""
    position, word = 0, None
    while position < len(text):
        if match := _SEPARATOR.match(text, position):
            if word is not None:
                yield word
            word = None
            yield _Separator(match[0])
            position = match.end()
        elif text[position] in " \t":
            if word is not None:
                yield word
            word, position = None, position + 1
        else:
            piece, position = _literal(text, position, begins=word is None)
            word = (word or "") + piece
    if word is not None:
        yield word


def _literal(text: str, position: int, *, begins: bool) -> tuple[str, int]:
    """Return a piece of a word and the position where it ends."""
    if match := _SINGLE.match(text, position):
        return _checked(match[1]), match.end()
    if match := _DOUBLE.match(text, position):
        return _checked(re.sub(r'\\([\\"$`])', r"\1", match[1])), match.end()
    escaped = text[position + 1 : position + 2]
    if text[position] == "\\" and escaped not in ("", "\n"):
        return _checked(escaped), position + 2
    match = _BARE.match(text, position)
    if match is None or (begins and match[0].startswith("#")):
        raise _NotPlain
    return _checked(match[0]), match.end()


def _checked(piece: str) -> str:
    if any(not character.isprintable() and character not in "\n\t" for character in piece):
        raise _NotPlain
    return piece
