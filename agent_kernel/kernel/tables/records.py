"""Split delimited text into records, with the quotes of one dialect. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

SPACES = (" ", "  ")
"""Delimiters that stand for any run of spaces and tabs, and for any run of two or more."""

_WIDE = re.compile(r"[ \t]{2,}|\t")


@dataclass(frozen=True)
class TextDialect:
    """How a text separates its cells. See `SPACES` for two special delimiters."""

    delimiter: str
    quote: str = '"'
    """The quotation mark; empty if quotes have no meaning."""
    escape: str | None = None
    skip_spaces: bool = False
    """Whether spaces behind a delimiter are no part of the cell."""


class Records(Iterator[list[str]]):
    """The records of a text; blank lines are skipped. Raises `csv.Error` as `csv.reader` does.

    A record whose closing quote is absent is not yielded; `torn` is then true.
    """

    def __init__(self, text: str, dialect: TextDialect) -> None:
        self.torn = False
        self._ended = False
        self._lines = io.StringIO(text, newline="")
        self._spaces = dialect.delimiter
        self._reader = csv.reader(
            self._source(),
            delimiter=dialect.delimiter if dialect.delimiter != "  " else "\t",
            quotechar=dialect.quote or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            escapechar=dialect.escape,
            doublequote=dialect.escape is None,
            skipinitialspace=dialect.skip_spaces or dialect.delimiter in SPACES,
        )

    def _source(self) -> Iterator[str]:
        for line in self._lines:
            if self._spaces == " ":
                line = line.replace("\t", " ").strip(" \r\n") + "\n"
            elif self._spaces == "  ":
                line = _WIDE.sub("\t", line.strip(" \r\n")) + "\n"
            yield line
        self._ended = True

    def __next__(self) -> list[str]:
        for record in self._reader:
            if self._ended:  # the reader asked for more lines to find the closing quote
                self.torn = True
                break
            if record and record != [""]:
                return record
        raise StopIteration
