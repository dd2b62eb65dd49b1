"""The tool `file_search`. The search itself is the runtime's: `runtime.vector_stores`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.errors import AgentKernelError, InvalidRequest
from agent_kernel.protocol.calls import CallDone, CallItem, CallStart
from agent_kernel.protocol.citations import CitedFile
from agent_kernel.protocol.items import to_json
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.document_search.search import DocumentSearch
from agent_kernel.tools.file_search.drafts import (
    CALL,
    PREFIX,
    SearchCallDraft,
    SearchOutputDraft,
)
from agent_kernel.tools.file_search.spec import (
    DESCRIPTION,
    PARAMETERS,
    LiveSearch,
    check_entry,
    parse_call,
    query_of,
    shown,
)
from agent_kernel.tools.one_item import NO_END, OneItemTool
from agent_kernel.tools.one_item_drafts import FailedCall
from agent_kernel.tools.outside import from_outside

Json = Mapping[str, Any]

MOST_TOLD = 40_000
"""Characters of passages that the model reads of one call. The best come first."""

_HEAD = "Cite a passage by its file's name in square brackets."
NOTHING = "No passage was found. Try other words."
NOT_HERE = "This server cannot search files."


class FileSearch(OneItemTool):
    """The tool `{"type": "file_search", "vector_store_ids": [...]}`."""

    type = "file_search"
    call_type = CALL
    id_prefix = PREFIX
    parallel = True
    outside = True
    optional_fields = {"file_search_call.results": "results"}

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        check_entry(spec, index)
        return ToolEntry(self, index, spec)

    def shown(self, entry: ToolEntry, container_id: str | None) -> Json:
        return shown(entry.spec)

    def check_item(self, item: Json, where: str) -> None:
        super().check_item(item, where)
        queries, results = item.get("queries"), item.get("results")
        if not isinstance(queries, list) or not all(isinstance(each, str) for each in queries):
            raise InvalidRequest(f"{where}.queries must be a list of texts.", param=f"{where}.queries")
        if results is not None and (
            not isinstance(results, list) or not all(isinstance(each, Mapping) for each in results)
        ):
            raise InvalidRequest(
                f"{where}.results must be a list of objects, not {shortened(results)}.",
                param=f"{where}.results",
            )

    # -- offering it, and reading a call

    def function_spec(self, entry: ToolEntry) -> Json:
        return {"description": DESCRIPTION, "parameters": PARAMETERS}

    def live_call(self, call_id: str) -> LiveSearch:
        return LiveSearch(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        return parse_call(self, call_id, arguments)

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> SearchCallDraft:
        return SearchCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> SearchOutputDraft:
        return SearchOutputDraft(index, numbers, to_json(call))

    # -- before it runs

    def policy_subject(self, call: Json) -> Sequence[str] | None:
        """Return None: it reads what its user has put there, and changes nothing."""
        return None

    def has_effects(self, entry: ToolEntry | None, call: Json, earlier: Sequence[Json]) -> bool:
        return False

    def refuse(self, call: Json, why: str) -> Iterator[FailedCall]:
        yield FailedCall(why)

    # -- running it

    async def run(self, call: Json, context: ToolContext) -> None:
        if context.documents is None:
            await context.emit(FailedCall(NOT_HERE))
            return
        try:
            found = await context.documents.search(query_of(context.spec, tuple(call["queries"])))
        except AgentKernelError as error:
            await context.emit(FailedCall(f"The search failed: {error.message}"))
            return
        await context.emit(found)

    # -- after it ran, or did not

    def whole_call(self, item: Json, events: Sequence[Json]) -> tuple[Json, Sequence[Json]] | None:
        return None  # no event has the queries: the item that was held has them

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        ours = {**(item.get("agent_kernel") or {}), "error": NO_END}
        return {**item, "results": None, "status": "incomplete", "agent_kernel": ours}

    # -- presenting it to a model

    def call_fields(self, item: Json) -> Json:
        return {"queries": item.get("queries") or []}

    def told(self, item: Json) -> str:
        results = item.get("results")
        if not isinstance(results, list):
            ours = item.get("agent_kernel")
            why = ours.get("error") if isinstance(ours, Mapping) else None
            return str(why) if isinstance(why, str) else NO_END
        passages = [f"--- from [{label}]\n{each.get('text') or ''}" for label, each in _labelled(results)]
        if not passages:
            return NOTHING
        lines, left = [], MOST_TOLD
        for passage in passages:
            if len(passage) > left:
                break
            lines.append(passage)
            left -= len(passage)
        return f"{_HEAD}\n{from_outside('passages of files, best first', chr(10).join(lines))}"

    def sources(self, item: Json) -> Iterator[CitedFile]:
        """Yield the files that a message after this item may cite by name."""
        for label, each in _labelled(item.get("results")):
            if isinstance(file_id := each.get("file_id"), str) and file_id:
                yield CitedFile(label, file_id, str(each.get("filename")))

    def arguments(self, call: Json) -> Json:
        return {"queries": list(call.get("queries") or [])}

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == CALL:
            yield f"searched files: {'; '.join(item['queries'])}"
        else:
            yield f"found: {item['output']}"


async def check_stores(entries: Sequence[ToolEntry], documents: DocumentSearch | None) -> None:
    """Check that the vector stores of a request exist. Raises `NotFound`, `InvalidRequest`."""
    for entry in entries:
        if entry.tool is not FILE_SEARCH:
            continue
        where = f"tools[{entry.index}]"
        if documents is None:
            raise InvalidRequest(
                NOT_HERE, hint="Its kind of store has no vector stores.", param=f"{where}.type"
            )
        await documents.check(query_of(entry.spec, ()).store_ids, f"{where}.vector_store_ids")


def _labelled(results: object) -> Iterator[tuple[str, Json]]:
    """Yield each result with the name that the model reads: files of the same name get a number."""
    names: dict[str, list[object]] = {}
    for each in results if isinstance(results, list) else ():
        if not isinstance(each, Mapping) or not isinstance(each.get("filename"), str):
            continue
        name, file_id = each["filename"], each.get("file_id")
        ids = names.setdefault(name, [])
        if file_id not in ids:
            ids.append(file_id)
        place = ids.index(file_id)
        yield (f"{name} ({place + 1})" if place else name), each


FILE_SEARCH = FileSearch()
