"""What turns used of their container, as `%usage` shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

HEADER = ("CPU s", "memory GB s", "bytes out")

NO_CALL = ("", "", "")
"""The cells of a turn that ran nothing in a container."""

NOT_MEASURED = "not measured"

LARGEST = 1e18
"""A larger amount in a response is none."""


@dataclass(frozen=True)
class TurnCompute:
    """Processor seconds, bytes of memory by seconds, and bytes sent out. None: they could not be read."""

    cpu_seconds: float | None = None
    memory_byte_seconds: float | None = None
    bytes_out: int = 0

    def plus(self, other: TurnCompute) -> TurnCompute:
        """Return the sum. What is known of one alone counts."""
        return TurnCompute(
            _sum(self.cpu_seconds, other.cpu_seconds),
            _sum(self.memory_byte_seconds, other.memory_byte_seconds),
            self.bytes_out + other.bytes_out,
        )

    def cells(self) -> list[str]:
        """Return the cells of a table with `HEADER`."""
        memory_gb = None if self.memory_byte_seconds is None else self.memory_byte_seconds / 1e9
        cpu, memory = (
            NOT_MEASURED if each is None else f"{each:.2f}" for each in (self.cpu_seconds, memory_gb)
        )
        return [cpu, memory, f"{self.bytes_out:,}"]


def sum_of(parts: Iterable[TurnCompute | None]) -> TurnCompute | None:
    """Return the sum of all that is known, None if nothing is."""
    known = [part for part in parts if part is not None]
    return reduce(TurnCompute.plus, known) if known else None


def compute_of(response: Any) -> TurnCompute | None:
    """Return what a response says its turn used, None if it says nothing.

    A server may send anything there; see docs/extensions.md.
    """
    ours = (response.model_extra or {}).get("agent_kernel")
    return read_compute(ours.get("compute")) if isinstance(ours, Mapping) else None


def read_compute(found: Any) -> TurnCompute | None:
    """Return the amounts of a JSON object, None if it is none. What is no amount is left out."""
    if not isinstance(found, Mapping):
        return None
    cpu, memory, sent = map(_amount, map(found.get, ("cpu_seconds", "memory_byte_seconds", "bytes_out")))
    return TurnCompute(cpu, memory, int(sent or 0))


def _shown(amount: float | None, unit: float) -> str:
    return NOT_MEASURED if amount is None else f"{amount / unit:.2f}"


def _amount(value: Any) -> float | None:
    ours = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if ours and 0 <= value <= LARGEST else None


def _sum(first: float | None, second: float | None) -> float | None:
    return second if first is None else first if second is None else first + second
