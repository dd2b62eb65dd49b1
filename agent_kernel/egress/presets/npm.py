"""The preset `npm`: the registry and the registries of scopes in npm's configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent_kernel.egress.presets.index import Index, IndexQuestion, NoHosts, sites
from agent_kernel.egress.presets.operator import Operator

_LINE = re.compile(r"""^\s*(@[^:\s]+:)?registry\s*=\s*["']?([^"'\s]+)""", re.MULTILINE)
_TARBALL = re.compile(r'"tarball"\s*:\s*"([^"\\]+)"')
_PACKAGE = "once"
"""A package with few versions that many others need, so that mirrors have it."""


def read(operator: Operator) -> Sequence[Index]:
    """Return the registries. Raises `NoHosts`."""
    found = [
        # No variable has a name for the registry of a scope.
        Index(site, (_QUESTION,), () if scope else ("NPM_CONFIG_REGISTRY",))
        for scope, url in _registries(operator)
        for site in sites([url])
    ]
    if not found:
        raise NoHosts(
            "npm is not installed or does not run", "Set registry in .npmrc or NPM_CONFIG_REGISTRY."
        )
    return found


def _tarballs(page: str) -> Iterator[str]:
    yield from _TARBALL.findall(page)


_QUESTION = IndexQuestion(_PACKAGE, _tarballs, "application/vnd.npm.install-v1+json")


def _registries(operator: Operator) -> Iterator[tuple[str, str]]:
    """Yield each registry with its scope, empty for the registry of all other packages."""
    npm = operator.program("npm")
    if npm and (listed := operator.run([npm, "config", "list", "-l", "--logs-max=0"])):
        yield from _LINE.findall(listed)  # values that another file replaces are comments there
        return
    variables = {name.lower(): value for name, value in operator.environment.items()}
    own = variables.get("npm_config_userconfig")
    written = _LINE.findall(operator.text(operator.home / ".npmrc" if own is None else operator.system(own)))
    registry = variables.get("npm_config_registry")
    yield from (found for found in written if found[0] or not registry)
    if registry:
        yield "", registry
