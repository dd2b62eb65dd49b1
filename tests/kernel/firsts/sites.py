"""The content of the servers: a package index with real packages, a repository with failing tests, data."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES, DATA, GIT, DEBIAN = "packages.internal", "data.internal", "git.internal", "debian.internal"
HOSTS = (PACKAGES, DATA, GIT, DEBIAN)

ORDERS = [{"id": number, "total": number * 10} for number in range(1, 8)]
LOG = [
    {"level": level, "text": f"line {n}"}
    for n, level in enumerate(["info", "error", "debug", "error", "error"])
]

SHOP = '''"""Prices of a small shop."""


def total(prices):
    """Return the sum of the prices."""
    return sum(prices[1:])


def discounted(price, percent):
    """Return the price with a discount."""
    return price * percent / 100


def label(name):
    """Return the name as it is printed."""
    return name.strip().title()
'''

TESTS = """import unittest

from shop import discounted, label, total


class ShopTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2, 3]), 6)

    def test_discounted(self):
        self.assertEqual(discounted(200, 25), 150)

    def test_label(self):
        self.assertEqual(label(" red tea "), "Red Tea")
"""

_LEFT_OUT = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")


def make_sites(folder: Path, own: Path) -> None:
    """Fill a folder for each host; the index has httpx as the tests' environment has it."""
    make_index(folder / PACKAGES, needed("httpx", own))
    make_repository(folder / GIT)
    data = folder / DATA
    data.mkdir()
    (data / "orders.json").write_text(json.dumps(ORDERS))
    (data / "log.json").write_text(json.dumps(LOG))
    (folder / DEBIAN).mkdir()


def needed(name: str, packages: Path) -> Iterator[Distribution]:
    """Yield an installed package and those that it needs."""
    there = {canonicalize_name(each.metadata["Name"]): each for each in distributions(path=[str(packages)])}
    todo, seen = [name], set[str]()
    while todo:
        found = canonicalize_name(todo.pop())
        if found in seen:
            continue
        seen.add(found)
        yield there[found]
        for line in there[found].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)


def make_index(site: Path, packages: Iterable[Distribution]) -> None:
    """Add the packages as wheels to a simple index, as pip reads it."""
    (site / "files").mkdir(parents=True, exist_ok=True)
    for each in packages:
        wheel = make_wheel(each, site / "files")
        page = site / "simple" / canonicalize_name(each.metadata["Name"]) / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<!DOCTYPE html><html><body><a href="/files/{wheel}">{wheel}</a></body></html>')


def make_wheel(package: Distribution, folder: Path) -> str:
    """Pack an installed package into a wheel again, and return the wheel's name."""
    about = (package.read_text("WHEEL") or "").splitlines()
    tag = next(line.partition(": ")[2] for line in about if line.startswith("Tag: "))
    stem = f"{package.metadata['Name'].replace('-', '_')}-{package.version}"
    name = f"{stem}-{tag}.whl"
    listed = []
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        for file in package.files or []:
            path = Path(str(file.locate()))
            if file.parts[0] == ".." or file.name in _LEFT_OUT or file.suffix == ".pyc":
                continue
            wheel.write(path, str(file))
            listed.append(f"{file},,\n")
        record = f"{stem}.dist-info/RECORD"
        wheel.writestr(record, "".join([*listed, f"{record},,\n"]))
    return name


def make_repository(site: Path) -> None:
    """Make a bare repository: a program with two errors, and tests that find them."""
    work = site / "work"
    work.mkdir(parents=True)
    (work / "shop.py").write_text(SHOP)
    (work / "test_shop.py").write_text(TESTS)
    user = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    for words in (
        ["init", "-q", "-b", "main", "work"],
        ["-C", "work", "add", "."],
        ["-C", "work", *user, "commit", "-q", "-m", "A small shop"],
        ["clone", "-q", "--bare", "work", "shop.git"],
    ):
        environment = {"PATH": os.environ["PATH"], "HOME": str(site)}
        subprocess.run(["git", *words], cwd=site, env=environment, check=True)
