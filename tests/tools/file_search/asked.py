"""The questions over docs/ that the ranker is measured with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]

CHOSEN, OTHERS = slice(1, None, 2), slice(0, None, 2)
"""The questions over which the ranker's settings are chosen, every second one, and those that judge them."""

_STOP_WORDS = """
    a about after afterwards also an and another any are as at be been before being but by can could did do
    does during each else every everything for from get gets had has have he her how however i if in into is
    it its just keep kept like made make many may me might more most my never no not nothing now of off on one
    only or other others our out over own same set shall she should so some such than that the their them then
    there these they thing this those through to too two up was were what whatever when where whether which
    while who whole why will with without would you your
"""


@dataclass(frozen=True)
class Asked:
    """A question with a text that answers it. `apart`: they share no content word."""

    question: str
    file: str
    passage: str
    apart: bool = False


def questions() -> list[Asked]:
    """Return all questions."""
    return [Asked(**each) for each in yaml.safe_load((Path(__file__).parent / "questions.yaml").read_text())]


def content_words(text: str) -> set[str]:
    """Return the words of a text that say something, by their first five letters, as inflections vary."""
    stop_words = set(_STOP_WORDS.split())
    return {word[:5] for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in stop_words}


def plain(text: str) -> str:
    """Return a text with single spaces."""
    return " ".join(text.split())
