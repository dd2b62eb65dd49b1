"""The tool `web_search`. What the operator allows of the web is in its limits: `access.WebAccess`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol.calls import CallDone, CallItem, CallStart
from agent_kernel.protocol.citations import CitedPage
from agent_kernel.protocol.items import to_json
from agent_kernel.tools.base import ToolEntry
from agent_kernel.tools.context import ToolContext
from agent_kernel.tools.one_item import NO_END, OneItemTool
from agent_kernel.tools.one_item_drafts import FailedCall
from agent_kernel.tools.outside import from_outside
from agent_kernel.tools.web_search.drafts import (
    CALL,
    PREFIX,
    WebCallDraft,
    WebOutputDraft,
    WebResults,
)
from agent_kernel.tools.web_search.known import known_addresses
from agent_kernel.tools.web_search.spec import (
    LiveWebCall,
    arguments_of,
    check_entry,
    function_of,
    parse_call,
    shown,
)

Json = Mapping[str, Any]

MOST_TOLD = 80_000
"""Characters of results that the model reads of one call."""

_HIDDEN = "[{} characters that a reader of the page does not see were left out.]"
_WHAT = {
    "search": "results of a web search",
    "open_page": "the text of a web page",
    "find_in_page": "passages of a web page",
}
_NOTHING = {"search": "Nothing was found. Try other words.", "find_in_page": "The text is not in the page."}


class WebSearch(OneItemTool):
    """The tool `{"type": "web_search"}`, also under its dated and its older names."""

    type = "web_search"
    aliases = ("web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")
    call_type = CALL
    id_prefix = PREFIX
    parallel = True
    outside = True
    optional_fields = {
        "web_search_call.results": "results",
        "web_search_call.action.sources": "action.sources",
    }

    # -- the request

    def read(self, spec: Json, index: int) -> ToolEntry:
        check_entry(spec, index)
        return ToolEntry(self, index, spec)

    def shown(self, entry: ToolEntry, container_id: str | None) -> Json:
        return shown(entry.spec)

    def check_item(self, item: Json, where: str) -> None:
        super().check_item(item, where)
        for name, kind in (("action", Mapping), ("results", list)):
            if item.get(name) is not None and not isinstance(item[name], kind):
                raise InvalidRequest(f"{where}.{name} is malformed.", param=f"{where}.{name}")

    # -- offering it, and reading a call

    def function_spec(self, entry: ToolEntry) -> Json:
        return function_of(entry.spec)

    def live_call(self, call_id: str) -> LiveWebCall:
        return LiveWebCall(self, call_id)

    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        return parse_call(self, call_id, arguments)

    # -- its items

    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> WebCallDraft:
        return WebCallDraft(index, numbers, start)

    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> WebOutputDraft:
        return WebOutputDraft(index, numbers, to_json(call))

    # -- before it runs

    def policy_subject(self, call: Json) -> Sequence[str]:
        known = self.arguments(call)
        texts = known.get("queries") or [known.get("url") or ""]
        return [f"web_search {known['action']} {text}" for text in texts]

    def has_effects(self, entry: ToolEntry | None, call: Json, earlier: Sequence[Json]) -> bool:
        """Return whether it opens an address that the conversation does not have: one can carry data out."""
        url = self.arguments(call).get("url")
        return url is not None and not any(url in text for text in known_addresses(earlier))

    def refuse(self, call: Json, why: str) -> Iterator[FailedCall]:
        yield FailedCall(why)

    # -- running it

    async def run(self, call: Json, context: ToolContext) -> None:
        from agent_kernel.tools.web_search.access import WebAccess
        from agent_kernel.tools.web_search.base import WebFailure
        from agent_kernel.tools.web_search.run import results_of

        access = context.limits if isinstance(context.limits, WebAccess) else WebAccess()
        try:
            results = await results_of(call["action"], context, access)
        except WebFailure as error:
            await context.emit(FailedCall(error.message))
            return
        await context.emit(WebResults(results))

    # -- after it ran, or did not

    def whole_call(self, item: Json, events: Sequence[Json]) -> tuple[Json, Sequence[Json]] | None:
        return None  # no event has the action: the item that was held has it

    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        ours = {**(item.get("agent_kernel") or {}), "error": NO_END}
        return {**item, "results": None, "status": "incomplete", "agent_kernel": ours}

    # -- presenting it to a model

    def call_fields(self, item: Json) -> Json:
        return {"action": item.get("action")}

    def told(self, item: Json) -> str:
        results = item.get("results")
        if not isinstance(results, list):
            ours = item.get("agent_kernel")
            why = ours.get("error") if isinstance(ours, Mapping) else None
            return str(why) if isinstance(why, str) else "What it found was not kept."
        kind, pages = self.arguments(item)["action"], [each for each in results if isinstance(each, Mapping)]
        if kind == "find_in_page":
            pages = [each for each in pages if each.get("text")]
        if not pages:
            return _NOTHING.get(kind, "The page has no text.")
        return from_outside(_WHAT[kind], "\n\n".join(map(_part, pages))[:MOST_TOLD])

    def sources(self, item: Json) -> Iterator[CitedPage]:
        """Yield the pages that a message after this item may cite by a link."""
        for each in item.get("results") or ():
            if isinstance(each, Mapping) and isinstance(url := each.get("url"), str) and url:
                yield CitedPage(url, str(each.get("title") or url))

    def arguments(self, call: Json) -> Json:
        return arguments_of(call.get("action"))

    def arguments_text(self, call: Json) -> str:
        return json.dumps(self.arguments(call), ensure_ascii=False)

    def transcript(self, item: Json) -> Iterator[str]:
        if item["type"] == CALL:
            yield f"used the web: {self.arguments_text(item)}"
        else:
            yield f"found: {item['output']}"


def _part(result: Json) -> str:
    """Return a result as the model reads it."""
    lines = [str(result.get("title") or ""), str(result.get("url") or ""), str(result.get("text") or "")]
    if isinstance(hidden := result.get("hidden"), int) and hidden:
        lines.append(_HIDDEN.format(hidden))
    return "\n".join(lines)


WEB_SEARCH = WebSearch()
