"""The preset `go`: Go's module proxies and its checksum database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from agent_kernel.egress.presets.index import Index, IndexQuestion, NoHosts, sites
from agent_kernel.egress.presets.operator import Operator

_QUESTION = IndexQuestion("golang.org/x/text/@v/list")
_NAMES = ("GOPROXY", "GOSUMDB")


def read(operator: Operator) -> Sequence[Index]:
    """Return the proxies and the checksum database. Repositories (`direct`) are not included.

    Raises `NoHosts`.
    """
    settings = _settings(operator)
    proxies = sites(word for word in re.split(r"[,|]", settings.get("GOPROXY", "")))
    if not proxies:
        why = "GOPROXY names no proxy" if settings.get("GOPROXY") else "Go is not installed"
        raise NoHosts(why, "Set GOPROXY to the URL of a module proxy.")
    return [Index(site, (_QUESTION,), ("GOPROXY",), ",") for site in proxies] + [
        Index(site) for site in sites(_checksums(settings.get("GOSUMDB", "")))
    ]


def _settings(operator: Operator) -> Mapping[str, str]:
    go = operator.program("go")
    if go and (shown := operator.run([go, "env", "-json", *_NAMES], GOTOOLCHAIN="local")):
        try:
            found = json.loads(shown)
            return {name: str(found.get(name, "")) for name in _NAMES}
        except (ValueError, AttributeError):
            pass
    configuration = operator.environment.get("XDG_CONFIG_HOME") or operator.home / ".config"
    own = operator.environment.get("GOENV") or f"{configuration}/go/env"
    lines = operator.text(operator.system(own)).splitlines()
    written = dict(line.partition("=")[::2] for line in lines if "=" in line)
    return {name: operator.environment.get(name) or written.get(name, "") for name in _NAMES}


def _checksums(setting: str) -> Iterator[str]:
    """Yield the URL of a checksum database: `off`, `NAME`, `NAME+KEY` or `NAME+KEY URL`."""
    words = setting.split()
    if len(words) > 1:
        yield words[1]
    elif words and words[0] != "off":
        yield f"https://{words[0].partition('+')[0]}"
