"""The data of the examples are what their README says they are."""

from __future__ import annotations

import csv
import gzip
import runpy
import statistics
from collections import Counter
from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "notebooks" / "data"


def test_the_penguins_are_the_published_ones() -> None:
    with (DATA / "penguins.csv").open(newline="") as file:
        birds = list(csv.DictReader(file))
    assert Counter(bird["species"] for bird in birds) == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    published = {
        "culmen_length_mm": 43.92193,
        "culmen_depth_mm": 17.15117,
        "flipper_length_mm": 200.9152,
        "body_mass_g": 4201.754,
    }
    for column, mean in published.items():
        values = [float(bird[column]) for bird in birds if bird[column] != "NA"]
        assert len(values) == 342
        assert statistics.mean(values) == pytest.approx(mean, rel=1e-6)


def test_the_penguins_have_the_flaws_that_the_example_is_about() -> None:
    with (DATA / "penguins.csv").open(newline="") as file:
        sexes = Counter(bird["sex"] for bird in csv.DictReader(file))
    assert sexes == {"MALE": 168, "FEMALE": 165, "NA": 10, ".": 1}


def test_the_invoices_are_what_their_program_writes() -> None:
    program = runpy.run_path(str(DATA / "make_invoices.py"))
    with gzip.open(DATA / "invoices.csv.gz", "rt", newline="") as file:
        assert file.read() == "".join(program["lines"]())


def test_the_invoices_are_many_and_small() -> None:
    with gzip.open(DATA / "invoices.csv.gz", "rt", newline="") as file:
        assert len({row["invoice"] for row in csv.DictReader(file)}) >= 100_000
    assert (DATA / "invoices.csv.gz").stat().st_size < 3_000_000
