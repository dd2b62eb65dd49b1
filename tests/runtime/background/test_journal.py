from __future__ import annotations

import asyncio
from pathlib import Path

from openai.types.responses import ResponseTextDeltaEvent

from agent_kernel.runtime.background.journal import Journal
from agent_kernel.store.records import ResponseRow
from agent_kernel.store.sqlite.store import sqlite_rows


def delta(number: int) -> ResponseTextDeltaEvent:
    return ResponseTextDeltaEvent.construct(type="response.output_text.delta", sequence_number=number)


async def test_event_during_a_write_is_written_without_another(tmp_path: Path) -> None:
    store = sqlite_rows(tmp_path / "store.sqlite")
    await store.put_response(ResponseRow("resp", 1.0, "in_progress", "m", None, None, {}, [], {}))
    journal = Journal(store, "resp")
    journal.take(delta(0))
    await asyncio.sleep(0)  # the write of the first event has begun
    journal.take(delta(1))
    async with asyncio.timeout(60):
        while True:
            written = journal.written
            if [number for number, _ in await store.events("resp", -1, 10)] == [0, 1]:
                break
            await written.wait()
    await journal.close()
    await store.aclose()
