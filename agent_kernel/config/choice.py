"""Settings with a fixed set of words as values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from traitlets import HasTraits, TraitError, Unicode


class Choice(Unicode[str, str]):
    """A trait for one word of a set. Its error lists all words.

    `words` in the trait's metadata are the common ones. `more`, if present, is a function that returns all
    words; it is called only for a word that is not in `words`.
    """

    def validate(self, obj: HasTraits, value: Any) -> str:
        """Return the word. Raises `TraitError` for any other."""
        text: str = super().validate(obj, value)
        if text not in self.metadata["words"] and text not in self.words():
            name = self.metadata.get("variable", self.name)
            raise TraitError(f"{name} is {text!r}, but must be one of {', '.join(self.words())}")
        return text

    def words(self) -> Sequence[str]:
        """Return all allowed words."""
        more: Callable[[], Sequence[str]] | None = self.metadata.get("more")
        words: Sequence[str] = self.metadata["words"] if more is None else more()
        return words


def sandbox_words() -> list[str]:
    """Return the words for `sandbox`: `auto`, and the backends of this and other packages."""
    from agent_kernel.sandboxes.catalogue import AUTO, names

    return [AUTO, *names()]
