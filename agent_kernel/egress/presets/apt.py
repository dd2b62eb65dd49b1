"""The preset `apt`: the sources of apt on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent_kernel.egress.presets.index import Index, IndexQuestion, NoHosts, Site, sites
from agent_kernel.egress.presets.operator import Operator

_ONE_LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", re.MULTILINE)
_FIELD = re.compile(r"^(\S+?):[ \t]*(.*(?:\n[ \t#].*)*)", re.MULTILINE)
_METHODS = re.compile(r"^(?:mirror|tor)\+")


def read(operator: Operator) -> Sequence[Index]:
    """Return the archives. Raises `NoHosts`."""
    archives = dict(_archives(operator))
    found = [_index(site, suite) for url, suite in archives.items() for site in sites([url])]
    if not found:
        raise NoHosts("this machine has no sources of apt", "Add one to /etc/apt/sources.list.d.")
    return found


def _index(site: Site, suite: str) -> Index:
    # An archive has its files beside its index. Only https can redirect elsewhere and be trusted.
    ask = (IndexQuestion(f"dists/{suite.strip('/')}/InRelease"),) if site.scheme == "https" else ()
    return Index(site, ask)


def _archives(operator: Operator) -> Iterator[tuple[str, str]]:
    """Yield the URL and one suite of each archive."""
    folder = operator.system("etc/apt/sources.list.d")
    parts = sorted(folder.glob("*")) if folder.is_dir() else []
    for path in (operator.system("etc/apt/sources.list"), *parts):
        text = operator.text(path)
        if path.suffix == ".list":
            found = _ONE_LINE.findall(text)
        elif path.suffix == ".sources":
            found = list(_deb822(text))
        else:
            continue
        yield from ((_METHODS.sub("", url), suite) for url, suite in found)


def _deb822(text: str) -> Iterator[tuple[str, str]]:
    for paragraph in re.split(r"\n\s*\n", text):
        lines = "\n".join(line for line in paragraph.splitlines() if not line.startswith("#"))
        fields = {name.lower(): value.split() for name, value in _FIELD.findall(lines)}
        if fields.get("enabled", ["yes"])[:1] in (["no"], ["false"], ["0"]):
            continue
        for url in fields.get("uris", []):
            yield url, (fields.get("suites") or ["stable"])[0]
