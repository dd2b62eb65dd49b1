"""Ask an index which hosts its files are on."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urljoin

from agent_kernel.egress.names import literal
from agent_kernel.egress.presets.ask import IndexPage, NotAsked, Route
from agent_kernel.egress.presets.index import Index, IndexQuestion, Site

MAX_HOSTS = 16
"""Hosts that one index can add."""

_REDIRECTS = 5
_FILES = 4
"""Files that are asked for, each on another host, to see where they are redirected to."""


@dataclass
class Followed:
    """The sites that an index leads to, itself first. `problem`: why they may be incomplete, as a phrase."""

    sites: list[Site] = field(default_factory=list)
    problem: str | None = None

    def add(self, site: Site) -> None:
        """Add a site, unless its host is there."""
        if all((site.host, site.port) != (each.host, each.port) for each in self.sites):
            if len(self.sites) > MAX_HOSTS:
                raise NotAsked(f"{self.sites[0].name} leads to more than {MAX_HOSTS} hosts")
            self.sites.append(site)


async def follow(index: Index, route: Route) -> Followed:
    """Return the index's own host, and those that its answers name. It raises nothing but cancellation."""
    found = Followed([index.site])
    try:
        for question in index.questions:
            if await _ask(index, question, route, found):
                return found
        if index.questions:
            found.problem = f"{index.site.name} has none of the pages that would name its file hosts"
    except NotAsked as error:
        found.problem = str(error)
    return found


async def _ask(index: Index, question: IndexQuestion, route: Route, found: Followed) -> bool:
    """Ask one question. Return whether it was answered. Raises `NotAsked`."""
    site, page = await _get(_page(index.site, question), route, found, question)
    if page.status in (401, 403):
        raise NotAsked(f"{site.name} wants a password")
    if page.status >= 400:
        return False
    files: dict[tuple[str, int], Site] = {}
    for link in question.links(page.text):
        target = _target(link, site, route)
        if target is not None:
            files.setdefault((target.host, target.port), target)
            found.add(target)
    for file in list(files.values())[:_FILES]:
        await _get(file, route, found, None)
    return True


async def _get(
    site: Site, route: Route, found: Followed, question: IndexQuestion | None
) -> tuple[Site, IndexPage]:
    """Ask a site and those that it redirects to, and add their hosts. Return the last one and its answer."""
    for _ in range(_REDIRECTS + 1):
        accept = question.accept if question else "*/*"
        page = await route.get(site, accept=accept, head_only=question is None)
        if page.redirect is None:
            return site, page
        target = _target(page.redirect, site, route)
        if target is None:
            raise NotAsked(f"{site.name} redirects to a site that is not an https host")
        found.add(target)
        site = target
    raise NotAsked(f"{site.name} redirects too often")


def _target(link: str, base: Site, route: Route) -> Site | None:
    """Return where a link leads to; None if not to a name by https, or to the operator's private service."""
    try:
        target = Site.of(urljoin(str(base), link))
    except ValueError:
        return None
    if target is None or route.rule(target).private:
        return target
    return target if target.scheme == "https" and literal(target.host) is None else None


def _page(site: Site, question: IndexQuestion) -> Site:
    if not question.path:
        return site
    base = site.path.partition("?")[0].rstrip("/")
    return Site(site.scheme, site.host, site.port, f"{base}/{question.path}")
