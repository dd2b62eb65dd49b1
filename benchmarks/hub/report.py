"""What is printed of a simulation."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.hub.user import STEPS, Times


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of values, in their unit. Raises `RuntimeError` if there are none."""
    if not values:
        raise RuntimeError("No turn has ended in a phase. Make the phases longer: --seconds.")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def table(words: str, times: Times) -> str:
    """Return throughput, and p50, p95 and p99 of each step."""
    lines = [f"{words}: {times.rate():.1f} steps a second"]
    for kind in STEPS:
        values = times.steps[kind]
        if values:
            p50, p95, p99 = (percentile(values, percent) * 1000 for percent in (50, 95, 99))
            lines.append(f"  {kind:10} {len(values):6}  p50 {p50:7.1f}  p95 {p95:7.1f}  p99 {p99:7.1f} ms")
    return "\n".join(lines)


def cost(price: float, rate: float, thinking: float, kilobytes: float) -> str:
    """Return what a session costs in an hour on a machine of this price, at half of its saturation."""
    sessions = max(1, int(rate * thinking))
    return (
        f"{rate:.1f} steps a second, with {thinking:.0f} s of thinking, are those of {sessions} sessions:"
        f" {price / sessions:.6f} for a session-hour at {price:.2f} for a machine-hour,"
        f" and {sessions * kilobytes / 1024:.0f} MB of the server"
    )


def met(words: str, value: float, limit: float, unit: str) -> bool:
    """Print a measure and its limit; return whether it is met."""
    print(
        f"{words}: {value:.2f} {unit} (at most {limit:g}: {'MET' if value <= limit else 'NOT MET'})",
        flush=True,
    )
    return value <= limit
