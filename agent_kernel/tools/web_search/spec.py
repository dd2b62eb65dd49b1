"""The entry of `web_search` in a request, and the tool as a function for models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.live import LiveCall, malformed_call
from agent_kernel.tools.web_search.base import WebDomains, checked_address

if TYPE_CHECKING:
    from agent_kernel.tools.base import Tool

Json = Mapping[str, Any]

SIZES: Mapping[str, tuple[int, int]] = {"low": (5, 8000), "medium": (8, 20_000), "high": (15, 60_000)}
"""By `search_context_size`: results of a search, and characters that the model reads of one call."""

MOST_DOMAINS = 100
MOST_QUERIES = 3
LONGEST_QUERY = 1000
LONGEST_PATTERN = 300
_PLACE = ("city", "region", "country", "timezone")
_LONGEST_PLACE = 100
_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")

_DESCRIPTION = (
    "Search the web, open a page, or find a text in a page. search: give up to three queries. open_page: give"
    " the url of a page to read it. find_in_page: give the url and a text (pattern) to read the places where"
    " it occurs. When a statement of your answer rests on a page, cite it behind the statement as a Markdown"
    " link in round brackets: ([example.org](https://example.org/page))."
)

PARAMETERS: Json = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": ["search", "open_page", "find_in_page"]},
        "queries": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MOST_QUERIES,
            "description": "What to search for.",
        },
        "url": {"type": "string", "description": "The page to open, or to find a text in."},
        "pattern": {"type": "string", "description": "The text to find, ignoring case."},
    },
    "required": ["action"],
    "additionalProperties": False,
}


def check_entry(spec: Json, index: int) -> None:
    """Check entry number `index` of `tools`. Raises `InvalidRequest`."""
    where = f"tools[{index}]"
    size = spec.get("search_context_size")
    if size is not None and size not in SIZES:
        raise InvalidRequest(
            f"{where}.search_context_size must be one of {', '.join(SIZES)}, not {shortened(size)}.",
            param=f"{where}.search_context_size",
        )
    if not isinstance(spec.get("external_web_access"), bool | None):
        raise InvalidRequest(
            f"{where}.external_web_access must be true or false.", param=f"{where}.external_web_access"
        )
    place = spec.get("user_location")
    if place is not None and not _is_place(place):
        raise InvalidRequest(
            f"{where}.user_location must be an object with texts: {', '.join(_PLACE)}.",
            param=f"{where}.user_location",
        )
    domains_of(spec, where)


def _is_place(given: object) -> bool:
    texts = [given.get(name) for name in _PLACE] if isinstance(given, Mapping) else [0]
    return all(each is None or (isinstance(each, str) and len(each) <= _LONGEST_PLACE) for each in texts)


def domains_of(spec: Json, where: str = "tools") -> WebDomains:
    """Return the domains that an entry allows. Raises `InvalidRequest`."""
    given = spec.get("filters")
    if given is None:
        return WebDomains()
    if not isinstance(given, Mapping) or given.keys() - {"allowed_domains", "blocked_domains"}:
        raise InvalidRequest(
            f"{where}.filters must be an object with allowed_domains or blocked_domains.",
            param=f"{where}.filters",
        )
    allowed = _domains(given.get("allowed_domains"), f"{where}.filters.allowed_domains")
    return WebDomains(
        allowed, _domains(given.get("blocked_domains"), f"{where}.filters.blocked_domains") or ()
    )


def _domains(given: object, where: str) -> list[str] | None:
    if given is None:
        return None
    if not isinstance(given, list | tuple) or len(given) > MOST_DOMAINS:
        raise InvalidRequest(f"{where} must be a list of at most {MOST_DOMAINS} domains.", param=where)
    found = [each.lower().rstrip(".") if isinstance(each, str) else "" for each in given]
    for number, each in enumerate(found):
        if len(each) > 253 or not _DOMAIN.fullmatch(each):
            raise InvalidRequest(
                f"{where}[{number}] must be a domain such as example.org, without a scheme and a path.",
                param=f"{where}[{number}]",
            )
    return found


def size_of(spec: Json) -> tuple[int, int]:
    """Return the results and the characters of one call that an entry asks for."""
    return SIZES[spec.get("search_context_size") or "medium"]


def may_fetch(spec: Json) -> bool:
    """Return whether the model may open pages, and not only search."""
    return spec.get("external_web_access") is not False


def shown(spec: Json) -> Json:
    """Return an entry with the defaults filled in, as the API repeats it."""
    defaults = {"filters": None, "search_context_size": "medium", "user_location": None}
    return {**spec, **{name: spec.get(name) or value for name, value in defaults.items()}}


def function_of(spec: Json) -> Json:
    """Return the tool as a function: what its entry allows, and where the user is."""
    place = spec.get("user_location") or {}
    near = ", ".join(" ".join(str(place[name]).split()) for name in _PLACE[:3] if place.get(name))
    description = _DESCRIPTION
    if near:
        description += f" The user is in or near {near}: prefer results for this place where it matters."
    domains = domains_of(spec)
    if domains.allowed is not None:
        description += f" Only these domains are allowed: {', '.join(domains.allowed)}."
    if not may_fetch(spec):
        description += " Pages cannot be opened: only search is available."
    return {"description": description, "parameters": PARAMETERS}


class LiveWebCall(LiveCall):
    """A call in progress. Nothing is shown of it before it is complete: the API has no event for it."""

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON."""
        self.arguments += piece
        yield from ()


def parse_call(tool: Tool, call_id: str, arguments: str) -> CallDone:
    """Read the function's arguments as the model wrote them. Raises `MalformedCall`.

    The call has one part: its action as JSON, as the item has it.
    """
    try:
        value = read_object(arguments)
        action = _action(value)
    except UnreadableArguments as error:
        raise malformed_call(tool.type, str(error), arguments) from None
    except InvalidRequest as error:
        raise malformed_call(tool.type, error.message.rstrip("."), arguments) from None
    return CallDone(tool, call_id, (json.dumps(action, ensure_ascii=False),))


def _action(value: Json) -> Json:
    kind = value.get("action") or _meant(value)
    if kind == "search":
        return _search(value)
    if kind == "open_page":
        return {"type": kind, "url": checked_address(value.get("url"))}
    if kind == "find_in_page":
        pattern = value.get("pattern")
        if not isinstance(pattern, str) or not 0 < len(pattern.strip()) <= LONGEST_PATTERN:
            raise InvalidRequest(f"pattern must be a string of 1 to {LONGEST_PATTERN} characters")
        return {
            "type": kind,
            "url": checked_address(value.get("url")),
            "pattern": _encodable(pattern.strip()),
        }
    raise InvalidRequest("action must be search, open_page or find_in_page")


def _meant(value: Json) -> str:
    if value.get("url"):
        return "find_in_page" if value.get("pattern") else "open_page"
    return "search"


def _search(value: Json) -> Json:
    given = value.get("queries", value.get("query"))
    queries = [given] if isinstance(given, str) else given
    if not isinstance(queries, list) or not all(isinstance(each, str) for each in queries):
        raise InvalidRequest("it needs a list of texts called queries")
    texts = list(dict.fromkeys(filter(None, (_encodable(each).strip() for each in queries))))
    if not 0 < len(texts) <= MOST_QUERIES or any(len(each) > LONGEST_QUERY for each in texts):
        raise InvalidRequest(f"it needs 1 to {MOST_QUERIES} queries of at most {LONGEST_QUERY} characters")
    return {"type": "search", "query": texts[0], "queries": texts}


def _encodable(text: str) -> str:
    return _LONE_SURROGATES.sub("?", text)


def arguments_of(action: object) -> Json:
    """Return the function's arguments for an item's action, which may be a client's."""
    known = action if isinstance(action, Mapping) else {}
    kind = known.get("type")
    if kind in ("open_page", "find_in_page"):
        names = ("url", "pattern") if kind == "find_in_page" else ("url",)
        return {"action": kind, **{name: str(known.get(name) or "") for name in names}}
    queries = known.get("queries") or [known.get("query")]
    listed = queries if isinstance(queries, list) else []
    return {"action": "search", "queries": [each for each in listed if isinstance(each, str)]}
