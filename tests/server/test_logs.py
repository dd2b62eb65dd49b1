from __future__ import annotations

import json
import logging

from agent_kernel.server.logs import JsonFormatter


def test_an_entry_is_one_line_with_its_ids() -> None:
    record = logging.LogRecord("agent_kernel.x", logging.WARNING, __file__, 1, "two\n%s", ("lines",), None)
    record.response_id, record.container_id = "resp_1", None
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "warning", "logger": "agent_kernel.x", "message": "two\nlines", "response_id": "resp_1",
    }  # fmt: skip


def test_an_error_comes_with_its_traceback() -> None:
    try:
        raise ValueError("wrong")
    except ValueError as error:
        record = logging.makeLogRecord({"exc_info": (type(error), error, error.__traceback__)})
    assert "ValueError: wrong" in json.loads(JsonFormatter().format(record))["error"]
