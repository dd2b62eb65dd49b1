"""The item of a call: first its queries, then its results. The events have the order of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.protocol.items import ItemStatus, ResponseOutputItem, item_of
from agent_kernel.tools.document_search.search import Passage
from agent_kernel.tools.one_item_drafts import FoundOutputDraft, OneItemCallDraft

Json = Mapping[str, Any]

CALL = "file_search_call"
PREFIX = "fs_"


class SearchCallDraft(OneItemCallDraft):
    """The item while the model writes the queries, each of which is a part."""

    kind, prefix = CALL, PREFIX

    def item(self, status: ItemStatus) -> ResponseOutputItem:
        fields = {"id": self.id, "type": CALL, "status": status, "queries": self.texts(), "results": None}
        return item_of({**fields, **self.start.labels})


class SearchOutputDraft(FoundOutputDraft[Sequence[Passage]]):
    """The item from when the search runs."""

    kind = CALL

    def fields(self, found: Sequence[Passage] | None) -> Json:
        results = None if found is None else [result_of(each) for each in found]
        return {**self.call, "results": results}


def result_of(found: Passage) -> Json:
    """Return a passage as the API's result."""
    return {
        "attributes": dict(found.attributes),
        "file_id": found.file_id,
        "filename": found.filename,
        "score": round(found.score, 4),
        "text": found.text,
        "vector_store_id": found.store_id,
    }
