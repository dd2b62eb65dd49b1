"""What stands around a cited passage in its document, for the citations panel. Documents are hostile text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import CapabilityMissing, NotFound

if TYPE_CHECKING:
    from agent_kernel.kernel.panel.messages import PanelRequest
    from agent_kernel.kernel.panel.source import PanelSource

LONGEST_ID = 200
LONGEST_START = 1000
AROUND = 1600
"""Characters before the passage, and after it."""

_RECOGNIZED = 80
"""Characters by which the start of a chunk is found in the chunk before, which it overlaps."""


async def around(source: PanelSource, request: PanelRequest) -> Mapping[str, Any]:
    """Return what stands around the passage of a document that begins with `text` and ends with `end`."""
    from agent_kernel.kernel.render.text import clean
    from agent_kernel.runtime.library import KeepsLibrary

    request.only(("file", "text", "end"))
    file_id = request.text("file", longest=LONGEST_ID)
    start = request.text("text", longest=LONGEST_START)
    end = request.text("end", longest=LONGEST_START) if "end" in request.arguments else ""
    store_id = source.notebook.documents.store_id
    runtime = await source.notebook.runtime()
    if not isinstance(runtime, KeepsLibrary):
        raise CapabilityMissing("This runtime has no documents.", hint="Use a newer server.")
    if store_id is None:
        raise NotFound("The notebook has no documents any more.")
    before, after = surroundings(await runtime.document_text(store_id, file_id), start, end)
    return {"before": clean(before), "after": clean(after)}


def surroundings(chunks: Sequence[str], start: str, end: str) -> tuple[str, str]:
    """Return the text before and after one or more chunks with this start and end. Raises `NotFound`."""
    starts = (place for place, chunk in enumerate(chunks) if chunk.startswith(start[: len(chunk)]))
    at = next(starts, None)
    if at is None:
        raise NotFound("The document has changed: it has this passage no more.")
    ends = (place for place in range(at, len(chunks)) if chunks[place].endswith(end[-len(chunks[place]) :]))
    last = next(ends, at)
    before = _parted(chunks[at - 1], chunks[at])[0] if at else ""
    after = _parted(chunks[last], chunks[last + 1])[1] if last + 1 < len(chunks) else ""
    return before[-AROUND:], after[:AROUND]


def _parted(one: str, other: str) -> tuple[str, str]:
    """Return what only the first of two neighbours has, and what only the second has."""
    place = one.rfind(other[:_RECOGNIZED])
    if place < 0:
        return f"{one}\n\n", f"\n\n{other}"
    return one[:place], other[len(one) - place :]
