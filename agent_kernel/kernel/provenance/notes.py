"""The notes below an answer: what each of its figures was printed as. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent_kernel.kernel.provenance.evidence import Ambiguous, Evidence, Source
from agent_kernel.kernel.provenance.numbers import Number
from agent_kernel.kernel.render.bundles import ShownItem, details
from agent_kernel.kernel.render.markdown import to_safe_markdown
from agent_kernel.kernel.render.text import clean, code, escape

MOST_NOTES = 60
"""Notes of one answer. Figures beyond them are counted, not listed."""

UNSOURCED = "?"
"""The mark of a figure that no output has."""

_NOT_FOUND = "Not found in the text of this turn's outputs"


@dataclass
class Note:
    """What a figure was printed as. `href` is the output's element, "" without a link."""

    label: str
    says: str
    quote: str = ""
    href: str = ""
    figures: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The note on one line."""
        return f"{self.says}: {self.quote}" if self.quote else self.says


class Notes:
    """The notes of one answer, in the order of its figures.

    `given` has the numbers of the prompt, which need no source. `anchors` has the id of each output's element
    by the output's number.
    """

    def __init__(self, evidence: Evidence, given: Evidence, anchors: Mapping[int, str]) -> None:
        self._evidence, self._given, self._anchors = evidence, given, anchors
        self._notes: dict[tuple[object, ...], Note] = {}
        self._counts = {"linked": 0, "rounded": 0, "ambiguous": 0, "unsourced": 0, "unsearched": 0}

    def of(self, figure: Number) -> Note | None:
        """Return the note of the answer's next figure; None for one without a mark."""
        found = self._evidence.source_of(figure)
        if found is None:
            return self._without_source(figure)
        if isinstance(found, Ambiguous):
            self._counts["ambiguous"] += 1
            values = " or ".join(map(clean, found.texts))
            return self._note((figure.text,), f"Not linked, it may be {values}", figure)
        self._counts["linked"] += 1
        self._counts["rounded"] += found.rounded
        says = _says(found, figure)
        return self._note((found.printed.number, says), says, figure, found)

    def _without_source(self, figure: Number) -> Note | None:
        if isinstance(self._given.source_of(figure), Source):
            return None
        if not self._evidence.complete:
            self._counts["unsearched"] += 1
            return None
        self._counts["unsourced"] += 1
        note = self._notes.setdefault((UNSOURCED,), Note(UNSOURCED, _NOT_FOUND))
        return _with(note, figure)

    def _note(
        self, key: tuple[object, ...], says: str, figure: Number, source: Source | None = None
    ) -> Note | None:
        note = self._notes.get(key)
        if note is None:
            if len(self._notes) >= MOST_NOTES:
                return None
            note = Note(_letters(sum(UNSOURCED not in each for each in self._notes)), says)
            if source is not None:
                note.quote = clean(source.printed.line)
                note.href = self._anchors.get(source.printed.output, "")
            self._notes[key] = note
        return _with(note, figure)

    # -- below the answer ---------------------------------------------------------------------------------

    def shown(self) -> ShownItem | None:
        """Return the notes; None if the answer has no figures."""
        summary = self._summary()
        if not summary:
            return None
        lines = list(self._lines())
        body = "".join(f'<div style="font-size: 12px">{_html(note)}</div>' for note in lines)
        return ShownItem(
            details(escape(summary), body),
            "\n".join([summary, "", *(f"- {_markdown(note)}" for note in lines)]).rstrip(),
            "\n".join(_plain(note) for note in lines) or summary,
        )

    def _lines(self) -> Iterator[Note]:
        yield from (note for note in self._notes.values() if note.label != UNSOURCED)
        yield from (note for note in self._notes.values() if note.label == UNSOURCED)

    def _summary(self) -> str:
        count = self._counts
        rounded = f" ({count['rounded']} rounded)" if count["rounded"] else ""
        parts = [
            f"{count['linked']} printed{rounded}" if count["linked"] else "",
            f"{count['ambiguous']} ambiguous" if count["ambiguous"] else "",
            f"{count['unsourced']} not found in their text" if count["unsourced"] else "",
            f"{count['unsearched']} not found in the part that is kept" if count["unsearched"] else "",
        ]
        said = ", ".join(part for part in parts if part)
        return f"Figures in this turn's outputs: {said}." if said else ""


def _with(note: Note, figure: Number) -> Note:
    if figure.text not in note.figures and len(note.figures) < MOST_NOTES:
        note.figures.append(figure.text)
    return note


def _says(source: Source, figure: Number) -> str:
    """Return how the figure was printed, and where."""
    output = f"output {source.printed.output}"
    if source.others:
        output += f" and {source.others} more"
    if source.rounded:
        return f"Rounded from {source.printed.text}, {output}"
    if source.printed.text != figure.text:
        return f"Printed as {source.printed.text}, {output}"
    return f"Printed in {output}"


def _letters(number: int) -> str:
    """Return a letter for a small number: a, b … z, aa, ab …, as columns of spreadsheets have."""
    letters = ""
    number += 1
    while number:
        number, last = divmod(number - 1, 26)
        letters = chr(ord("a") + last) + letters
    return letters


def _named(note: Note) -> str:
    return ", ".join(note.figures)


def _html(note: Note) -> str:
    says = f'<a href="#{note.href}">{escape(note.says)}</a>' if note.href else escape(note.says)
    quote = f": <code>{escape(note.quote)}</code>" if note.quote else ""
    return f"{escape(_named(note))}: {says}{quote}"


def _markdown(note: Note) -> str:
    quote = f": {code(note.quote)}" if note.quote else ""
    return to_safe_markdown(f"\\[{note.label}\\] {note.says}{quote}")


def _plain(note: Note) -> str:
    return f"[{note.label}] {note.title}"
