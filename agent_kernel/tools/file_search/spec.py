"""The entry of `file_search` in a request, and the tool as a function for models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import CallDelta, CallDone
from agent_kernel.tools.arguments import UnreadableArguments, read_object
from agent_kernel.tools.document_search.filters import read_filter
from agent_kernel.tools.document_search.search import Query, read_limit, read_ranking
from agent_kernel.tools.live import LiveCall, malformed_call

if TYPE_CHECKING:
    from agent_kernel.tools.base import Tool

Json = Mapping[str, Any]

MOST_STORES = 10
MOST_QUERIES = 3
LONGEST_QUERY = 4096
"""Characters of one query."""
DEFAULT_RESULTS = 20

DESCRIPTION = (
    "Search the user's files for passages. Give up to three queries: a question or key words, worded as the"
    " answer may be worded. Returns the best passages, each with the name of its file. When a statement of"
    " your answer rests on a passage, write the file's name in square brackets behind it, before the full"
    " stop: [report.pdf]."
)

PARAMETERS: Json = {
    "type": "object",
    "properties": {
        "queries": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": MOST_QUERIES,
            "description": "What to search for.",
        }
    },
    "required": ["queries"],
    "additionalProperties": False,
}


def check_entry(spec: Json, index: int) -> None:
    """Check entry number `index` of `tools`. Raises `InvalidRequest`."""
    where = f"tools[{index}]"
    ids = spec.get("vector_store_ids")
    if (
        not isinstance(ids, list | tuple)
        or not ids
        or not all(isinstance(each, str) and each for each in ids)
    ):
        raise InvalidRequest(
            f"{where}.vector_store_ids must be a list of ids of vector stores.",
            hint="Create one at /v1/vector_stores, and add files to it.",
            param=f"{where}.vector_store_ids",
        )
    if len(ids) > MOST_STORES:
        raise InvalidRequest(
            f"{where}.vector_store_ids may have at most {MOST_STORES} entries.",
            param=f"{where}.vector_store_ids",
        )
    query_of(spec, (), where)


def query_of(spec: Json, texts: tuple[str, ...], where: str = "tools") -> Query:
    """Return the search that an entry of `tools` allows. Raises `InvalidRequest`."""
    return Query(
        tuple(dict.fromkeys(spec["vector_store_ids"])),
        texts,
        read_filter(spec.get("filters"), f"{where}.filters"),
        read_limit(spec.get("max_num_results"), f"{where}.max_num_results", DEFAULT_RESULTS),
        read_ranking(spec.get("ranking_options"), f"{where}.ranking_options"),
    )


def shown(spec: Json) -> Json:
    """Return an entry with the defaults filled in, as the API repeats it."""
    ranking = {"ranker": "auto", "score_threshold": 0.0, **(spec.get("ranking_options") or {})}
    return {
        **spec,
        "filters": spec.get("filters"),
        "max_num_results": spec.get("max_num_results") or DEFAULT_RESULTS,
        "ranking_options": ranking,
    }


class LiveSearch(LiveCall):
    """A call in progress. Nothing is shown of it before it is complete: the API has no event for it."""

    def write(self, piece: str) -> Iterator[CallDelta]:
        """Add a piece of the JSON."""
        self.arguments += piece
        yield from ()


def parse_call(tool: Tool, call_id: str, arguments: str) -> CallDone:
    """Read the function's arguments as the model wrote them. Raises `MalformedCall`."""
    try:
        value = read_object(arguments)
    except UnreadableArguments as error:
        raise malformed_call(tool.type, str(error), arguments) from None
    given = value.get("queries", value.get("query"))
    queries = [given] if isinstance(given, str) else given
    if not isinstance(queries, list) or not all(isinstance(each, str) for each in queries):
        raise malformed_call(tool.type, "it needs a list of texts called queries", arguments)
    texts = tuple(dict.fromkeys(text for each in queries if (text := _encodable(each).strip())))
    if not texts or len(texts) > MOST_QUERIES:
        raise malformed_call(tool.type, f"it needs 1 to {MOST_QUERIES} queries that are not empty", arguments)
    if any(len(each) > LONGEST_QUERY for each in texts):
        raise malformed_call(
            tool.type, f"a query may have at most {LONGEST_QUERY} characters", arguments[:LONGEST_QUERY]
        )
    return CallDone(tool, call_id, texts)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
