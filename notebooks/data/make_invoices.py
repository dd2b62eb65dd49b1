"""Write invoices.csv.gz: three years of invoices of a company that does not exist.

    python make_invoices.py [target]

Only the standard library, one seed, and only `Random.random()`, whose sequence Python promises to keep: the
same rows come out everywhere. What is true in this world stands in the constants below, so that an analysis
can be held against it: **the sector decides who pays late**. The South looks worst only because most builders
sit there; within each sector it pays a little *sooner* than the other regions.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

SEED = 20250630
ROWS = 120_000
START, TODAY = date(2022, 7, 1), date(2025, 6, 30)

LATE = {"Construction": 0.52, "Hospitality": 0.31, "Retail": 0.17, "Public": 0.13, "Health": 0.08}
"""The share of invoices that each sector pays late, before customer and region have their say."""

SOUTH_BONUS = 0.04
"""How much less often the South pays late than others of its sector."""

SECTORS_OF_REGION = {
    "North": {"Construction": 10, "Hospitality": 15, "Retail": 30, "Public": 22, "Health": 23},
    "East": {"Construction": 8, "Hospitality": 17, "Retail": 32, "Public": 20, "Health": 23},
    "South": {"Construction": 62, "Hospitality": 18, "Retail": 9, "Public": 6, "Health": 5},
    "West": {"Construction": 12, "Hospitality": 14, "Retail": 28, "Public": 22, "Health": 24},
}
"""Customers per region and sector: 400 in all."""

FIRST = (
    "Alder Amber Anchor Ash Beacon Birch Bluebell Bramble Bridge Brook Cedar Clover Copper Crown Dale Elm "
    "Falcon Fern Field Forge Garnet Granite Harbour Hazel Heron Hill Iris Ivy Juniper Lantern Linden Maple "
    "Marble Meadow Mill Oak Opal Orchard Otter Pearl Pine Quarry Raven River Rowan Sable Silver Slate Spruce "
    "Swan Thistle Vale Walnut Wren Yarrow"
).split()
SECOND = {
    "Construction": "Builders Masonry Roofing Concrete Scaffolding Joinery".split(),
    "Hospitality": "Hotel Kitchen Bistro Catering Inn Lodge".split(),
    "Retail": "Stores Market Outfitters Books Bakery Hardware".split(),
    "Public": "Library School Council Museum Archive Works".split(),
    "Health": "Clinic Pharmacy Dental Care Laboratory Optics".split(),
}
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

T = TypeVar("T")
Customer = tuple[str, str, str, float, float]
"""Name, sector, region, probability of paying late, typical amount."""


def pick(rng: Random, values: Sequence[T]) -> T:
    """One of `values`, each as likely."""
    return values[int(rng.random() * len(values))]


def customers(rng: Random) -> list[Customer]:
    """Every customer, each with a character of its own around its sector's."""
    found: list[Customer] = []
    names: set[str] = set()
    for region, sectors in SECTORS_OF_REGION.items():
        for sector, count in sectors.items():
            for _ in range(count):
                name = f"{pick(rng, FIRST)} {pick(rng, SECOND[sector])}"
                while name in names:
                    name = f"{pick(rng, FIRST)} {pick(rng, SECOND[sector])}"
                names.add(name)
                late = LATE[sector] + (rng.random() - 0.5) * 0.16
                late -= SOUTH_BONUS if region == "South" else 0.0
                found.append((name, sector, region, max(late, 0.01), 150 + 2_400 * rng.random() ** 3))
    return found


def written_date(rng: Random, day: date) -> str:
    """A date as three generations of software wrote it."""
    style = rng.random()
    if style < 0.86:
        return day.isoformat()
    if style < 0.95:
        return f"{day.day:02d}.{day.month:02d}.{day.year}"
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def written_amount(rng: Random, amount: float) -> str:
    """An amount, mostly as a number, sometimes as somebody typed it."""
    style = rng.random()
    if style < 0.94:
        return f"{amount:.2f}"
    if style < 0.97:
        return f'"EUR {amount:,.2f}"'
    return f"{amount:.2f} EUR"


def written_word(rng: Random, word: str) -> str:
    """A word, sometimes with a stray space."""
    style = rng.random()
    if style < 0.97:
        return word
    return f" {word}" if style < 0.985 else f"{word} "


def paid_on(rng: Random, customer: Customer, due: date) -> date | None:
    """When the invoice was paid; None if it has not been by TODAY."""
    if rng.random() < customer[3]:
        days = 1 + int(70 * rng.random() ** 2)
        if rng.random() < 0.03:
            return None
    else:
        days = -int(14 * rng.random() ** 2)
    day = due + timedelta(days=days)
    return day if day <= TODAY else None


def lines() -> Iterator[str]:
    """The file, line by line, in order of issue."""
    rng = Random(SEED)
    everyone = customers(rng)
    span = (TODAY - START).days
    yield "invoice,customer,sector,region,amount,issued,due,paid\n"
    for number in range(ROWS):
        customer = pick(rng, everyone)
        issued = START + timedelta(days=number * (span + 1) // ROWS)
        due = issued + timedelta(days=pick(rng, (14, 30, 30, 30, 45)))
        paid = paid_on(rng, customer, due)
        sector = customer[1].lower() if rng.random() < 0.02 else customer[1]
        line = ",".join(
            (
                f"R{number + 100_000}",
                written_word(rng, customer[0]),
                written_word(rng, sector),
                customer[2],
                written_amount(rng, customer[4] * (0.4 + 1.2 * rng.random())),
                written_date(rng, issued),
                written_date(rng, due),
                written_date(rng, paid) if paid else "",
            )
        )
        yield line + "\n"
        if rng.random() < 0.006:  # sent twice
            yield line + "\n"


def main(target: Path) -> None:
    """Write the compressed file; no name and no time go into it, so equal rows are equal bytes."""
    with target.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write("".join(lines()).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "invoices.csv.gz")
