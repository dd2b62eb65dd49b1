"""Render a search of the web or an opened page: what was asked, and its sources as links. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from agent_kernel.kernel.render.bundles import QUIET, ShownItem, box, details, pre
from agent_kernel.kernel.render.stored import Item
from agent_kernel.kernel.render.text import clean, clip, code, escape, markdown_text

OUTSIDE = "From outside"
"""Before every text that did not come from the user, the model or the sandbox."""

_ASKED = 200
_MOST = 50
_QUERIES = 5
_HOST = 60
"""Characters of a host that are shown: the last ones, which say whose it is."""
_LINK = re.compile(r"https?://[A-Za-z0-9\[\]._~:/?#@!$&'()*+,;=%-]{1,2048}")


def web_search_call(item: Item, limit: int) -> ShownItem:
    """Render the call as one line, with links to its sources and what the model read folded."""
    line, results = _asked(item), _results(item)
    line = f"{line} {_end(item, results)}"
    texts = clip("\n\n".join(web_texts(item, limit)), limit)
    folded = details(escape(f"{OUTSIDE}: what the model read"), pre(texts)) if texts else ""
    sources = [each for each in results or _sources(item) if isinstance(each.get("url"), str)][:_MOST]
    return ShownItem(
        html=box(QUIET, escape(line) + "".join(f"<div>{_html(each)}</div>" for each in sources) + folded),
        markdown="\n".join([f"*{code(line)}*", "", *(f"- {_markdown(each)}" for each in sources)]).rstrip(),
        plain="\n".join([line, *(_plain(each) for each in sources)]),
    )


def web_texts(item: Item, limit: int) -> Iterator[str]:
    """Yield the texts from outside that a call brought, in which figures of the answer may be found."""
    for each in (_results(item) or ())[:_MOST]:
        if isinstance(text := each.get("text"), str) and text:
            hidden = each.get("hidden")
            more = f"\n[{hidden} hidden characters left out]" if isinstance(hidden, int) and hidden else ""
            yield clip(f"{_title(each)}\n{clean(text)}{more}", limit)


def _results(item: Item) -> list[Mapping[str, Any]] | None:
    found = item.get("results")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else None


def _sources(item: Item) -> list[Mapping[str, Any]]:
    action = item.get("action")
    found = action.get("sources") if isinstance(action, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _asked(item: Item) -> str:
    action = item.get("action")
    known = action if isinstance(action, Mapping) else {}
    if known.get("type") == "open_page":
        return f"Opened {_one_line(known.get('url'))}."
    if known.get("type") == "find_in_page":
        return f"Looked for {_one_line(known.get('pattern'))} in {_one_line(known.get('url'))}."
    queries = known.get("queries")
    texts = queries[:_QUERIES] if isinstance(queries, list) else [known.get("query")]
    return f"Searched the web for: {'; '.join(filter(None, map(_one_line, texts))) or 'nothing'}."


def _end(item: Item, results: list[Mapping[str, Any]] | None) -> str:
    if results is None:
        ours = item.get("agent_kernel")
        why = ours.get("error") if isinstance(ours, Mapping) else None
        return _one_line(why) if isinstance(why, str) else ""
    count = len(results)
    return f"{OUTSIDE}: {count} page{'' if count == 1 else 's'}."


def _one_line(value: object) -> str:
    return " ".join(clean(clip(value, _ASKED)).split()) if isinstance(value, str) else ""


def _title(source: Mapping[str, Any]) -> str:
    return _one_line(source.get("title")) or _one_line(source.get("url")) or "a page"


def _html(source: Mapping[str, Any]) -> str:
    url = source["url"]
    if (host := _host(url)) is None:
        return escape(_title(source))
    link = f'<a href="{escape(url)}" rel="noopener noreferrer">{escape(_title(source))}</a>'
    return f'{link} <span style="opacity: 0.7">{escape(host)}</span>'


def _host(url: str) -> str | None:
    """Return the host of an address, which its title may not say; None if it is not shown as a link."""
    try:
        parts = urlsplit(url) if _LINK.fullmatch(url) else None
        host = parts.hostname if parts is not None and parts.username is None else None
    except ValueError:
        return None
    return host if host is None or len(host) <= _HOST else f"…{host[-_HOST:]}"


def _markdown(source: Mapping[str, Any]) -> str:
    url, title = source["url"], markdown_text(_title(source))
    host = _host(url)
    return title if host is None else f"[{title}](<{url}>) {markdown_text(host)}"


def _plain(source: Mapping[str, Any]) -> str:
    return f"  {_title(source)}: {_one_line(source['url'])}"
