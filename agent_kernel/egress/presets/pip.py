"""The preset `pip`: the indexes of pip's and uv's configuration, or the one that pip has by default."""

from __future__ import annotations

import ast
import html
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from agent_kernel.egress.presets.index import Index, IndexQuestion, NoHosts, sites
from agent_kernel.egress.presets.operator import Operator

_SECTIONS = (":env:", "install", "global")
"""Where pip looks for an option of `pip install`, the most important first."""

_HELP_WIDTH = "2000"
_DEFAULT = re.compile(r"--index-url <url>.*\(default (\S+)\)")
_ANCHOR = re.compile(r"<a\s[^>]{0,4096}>", re.IGNORECASE)
_HREF = re.compile(r"""\shref\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz")
_MAIN = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
_EXTRA = ("PIP_EXTRA_INDEX_URL", "UV_INDEX")
_PAGES = ("PIP_FIND_LINKS", "UV_FIND_LINKS")
_HINT = "Set index-url in pip.conf or PIP_INDEX_URL."


def read(operator: Operator) -> Sequence[Index]:
    """Return the indexes, and the pages with links that pip looks at. Raises `NoHosts`."""
    command = _pip(operator)
    options = _options(operator, command)
    main, extra = _of_pip(operator, command, options), options.get("extra-index-url", "").split()
    indexes = [
        *(Index(site, _PACKAGES, _MAIN) for site in sites(main)),
        *(Index(site, _PACKAGES, _EXTRA) for site in sites(extra)),
        *(Index(site, _PACKAGES) for site in sites(_of_uv(operator))),
        *(Index(site, (_PAGE,), _PAGES) for site in sites(options.get("find-links", "").split())),
    ]
    if not indexes:
        why = "pip is configured to use files of this machine only" if command else "pip is not installed"
        raise NoHosts(why, _HINT)
    return indexes


def _pip(operator: Operator) -> list[str]:
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    program = operator.program("pip3", "pip")
    return [program] if program else []


def _of_pip(operator: Operator, command: list[str], options: Mapping[str, str]) -> Iterator[str]:
    if "index-url" in options:
        yield options["index-url"]
    elif command and options.get("no-index", "").lower() not in ("1", "true", "yes", "on"):
        # pip has no command that shows its defaults, but its help does.
        shown = operator.run([*command, "install", "--help"], COLUMNS=_HELP_WIDTH) or ""
        if default := _DEFAULT.search(shown):
            yield default[1]


def _options(operator: Operator, command: list[str]) -> Mapping[str, str]:
    """Return the options of `pip install` in all of pip's files and variables."""
    if not command:
        names = ("index-url", "extra-index-url", "find-links", "no-index")
        given = {name: operator.environment.get(f"PIP_{name.replace('-', '_').upper()}") for name in names}
        return {name: value for name, value in given.items() if value}
    found: dict[str, dict[str, str]] = {}
    for line in (operator.run([*command, "config", "list"]) or "").splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        try:
            found.setdefault(section, {})[option] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    merged: dict[str, str] = {}
    for section in reversed(_SECTIONS):
        merged |= found.get(section, {})
    return merged


def _of_uv(operator: Operator) -> Iterator[str]:
    variables = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
    for variable in variables:
        for word in operator.environment.get(variable, "").split():
            yield word.partition("=")[2] if re.match(r"[\w-]+=", word) else word
    configuration = operator.environment.get("XDG_CONFIG_HOME") or operator.home / ".config"
    for file in (f"{configuration}/uv/uv.toml", operator.system("etc/uv/uv.toml")):
        try:
            yield from _of_uv_file(tomllib.loads(operator.text(operator.system(str(file)))))
        except tomllib.TOMLDecodeError:
            continue


def _of_uv_file(content: Mapping[str, Any]) -> Iterator[str]:
    for table in (content, content.get("pip")):
        if not isinstance(table, Mapping):
            continue
        named = [each.get("url") for each in table.get("index") or [] if isinstance(each, Mapping)]
        extra = table.get("extra-index-url") or []
        for url in (*named, table.get("index-url"), *(extra if isinstance(extra, list) else [])):
            if isinstance(url, str):
                yield url


def _links(page: str) -> Iterator[str]:
    """Yield the links to archives of a page; not those to a project's other pages (`rel`)."""
    for anchor in _ANCHOR.findall(page):
        found = _HREF.search(anchor)
        if found is None or " rel" in anchor.lower():
            continue
        link = html.unescape(found[1])
        if link.partition("#")[0].partition("?")[0].endswith(_ARCHIVES):
            yield link


_ACCEPT = "application/vnd.pypi.simple.v1+html, text/html;q=0.9"
_PACKAGES = tuple(IndexQuestion(f"{name}/", _links, _ACCEPT) for name in ("pip", "setuptools", "wheel"))
"""Packages that every public index has."""

_PAGE = IndexQuestion("", _links, "text/html")
"""A page of `find-links`."""
