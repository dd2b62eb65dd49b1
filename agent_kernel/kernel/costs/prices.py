"""The prices of models: the user's own, then those of a dated table in this package."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_VERSION = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|20\d{6})\Z")
"""The date at the end of a model's name; all versions of a model cost the same."""


@dataclass(frozen=True)
class Price:
    """What a million input and output tokens cost. `listed`: it comes from the table."""

    input: float
    output: float
    listed: bool

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """Return the cost of so many tokens. Cached input counts in full."""
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Any]:
    from importlib.resources import files

    text = (files("agent_kernel.kernel.costs") / "prices.json").read_text("utf-8")
    found: Mapping[str, Any] = json.loads(text)
    return found


def price_of(model: str, own: Mapping[str, Sequence[float]]) -> Price | None:
    """Return the price of a model, None if it is not known.

    `own` has the user's prices by model; they come first. A price for `gpt-5` also applies to `openai/gpt-5`
    and to a dated version of it, never to another model of the family.
    """
    names = [model, model.partition("/")[2]]
    names += [_VERSION.sub("", name) for name in names]
    for table, listed in ((own, False), (_table()["prices"], True)):
        for name in names:
            if name in table:
                given, taken = table[name]
                return Price(given, taken, listed)
    return None


def about(models: Iterable[str], own: Mapping[str, Sequence[float]]) -> str:
    """Return where the prices of these models come from, and which have none, in Markdown."""
    from agent_kernel.kernel.render.text import code

    prices = {model: price_of(model, own) for model in dict.fromkeys(models)}
    table, said = _table(), []
    if any(price is not None and price.listed for price in prices.values()):
        said.append(
            f"Costs are estimates in US dollars from a price table of {table['read_on']}: {table['source']}. "
            "Cached input is counted in full."
        )
    if any(price is not None and not price.listed for price in prices.values()):
        said.append(f"{'Others' if said else 'Costs'} use your own prices.")
    if unknown := [model for model, price in prices.items() if price is None]:
        named = ", ".join(map(code, unknown))
        said.append(f"No price is known for {named}; `KernelSettings.prices` sets one.")
    return " ".join(said)


def check_prices(given: Mapping[Any, Any]) -> dict[str, list[float]]:
    """Return the user's prices. Raises `ValueError` for anything but two numbers from 0 up for each model."""
    for model, pair in given.items():
        right = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not right or not all(_is_price(number) for number in pair):
            raise ValueError(f"the price of {model!r} must be two numbers, for input and output tokens")
    return {str(model): [float(number) for number in pair] for model, pair in given.items()}


def _is_price(number: object) -> bool:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number < math.inf
