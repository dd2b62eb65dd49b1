"""A setting whose value is one of several words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from traitlets import HasTraits, TraitError, Unicode


class Choice(Unicode[str, str]):
    """A word from a set; the error names all of them.

    `words` in the trait's metadata are the usual ones. `more`, if there, is a function that returns all; it
    is called only for a word that is not among `words`.
    """

    def validate(self, obj: HasTraits, value: Any) -> str:
        """Refuse any other word, instead of guessing which was meant."""
        text: str = super().validate(obj, value)
        if text not in self.metadata["words"] and text not in self.words():
            name = self.metadata.get("variable", self.name)
            raise TraitError(f"{name} is {text!r}, and may be {', '.join(self.words())}")
        return text

    def words(self) -> Sequence[str]:
        """Return all words that it may be."""
        more: Callable[[], Sequence[str]] | None = self.metadata.get("more")
        words: Sequence[str] = self.metadata["words"] if more is None else more()
        return words


def sandbox_words() -> list[str]:
    """Return every word for a sandbox: `auto`, and the backends of this and other packages."""
    from agent_kernel.sandboxes.catalogue import AUTO, names

    return [AUTO, *names()]
