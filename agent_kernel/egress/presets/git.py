"""The preset `git`: the hosts that the system's and the user's configuration of git name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent_kernel.egress.presets.index import Index, NoHosts, sites
from agent_kernel.egress.presets.operator import Operator

_SCOPES = ("--system", "--global")
"""Not a repository's own configuration: it may have been downloaded."""

_BY_URL = re.compile(r"(?:url|http|credential)\.(.+)\.[^.]+", re.DOTALL)
_REMOTE = re.compile(r"remote\..+\.(?:push)?url", re.DOTALL)
_SHORT = re.compile(r"(?:[\w.-]+@)?([\w.-]+\.[\w.-]+):(?!//)(.*)", re.DOTALL)
"""`git@host:path`, which means ssh."""


def read(operator: Operator) -> Sequence[Index]:
    """Return the hosts of remotes, and those that `url`, `http` and `credential` sections name.

    Raises `NoHosts`.
    """
    git = operator.program("git")
    if git is None:
        raise NoHosts("git is not installed", "Name the repositories' hosts instead.")
    listed = [operator.run([git, "config", scope, "--list", "-z"]) or "" for scope in _SCOPES]
    found = sites(url for text in listed for url in _urls(text))
    if not found:
        raise NoHosts(
            "git's configuration names no host",
            "Name the repositories' hosts instead, or name one with: "
            "git config --global url.https://HOST/.insteadOf https://HOST/",
        )
    return [Index(site) for site in found]


def _urls(listed: str) -> Iterator[str]:
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        by_url = _BY_URL.fullmatch(key)
        if by_url or _REMOTE.fullmatch(key):
            url = by_url[1] if by_url else value
            short = _SHORT.fullmatch(url)
            yield f"ssh://{short[1]}/" if short else url
