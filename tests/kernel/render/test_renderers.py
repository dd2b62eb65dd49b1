"""Renderers of other packages, and items that no renderer is for."""

from __future__ import annotations

import importlib.metadata
import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.cli.transcript import Transcript
from agent_kernel.kernel.live.progress import Progress
from agent_kernel.kernel.render import items, registry
from agent_kernel.kernel.render.bundles import Bundle, ShownItem
from agent_kernel.kernel.render.generic import generic
from agent_kernel.kernel.render.items import render_item
from agent_kernel.kernel.render.registry import Guarded, Installed
from tests.wheels import install

TOY = Path(__file__).parent / "toy_renderer"
CALL = {
    "type": "clock_call",
    "id": "cl_1",
    "call_id": "call_1",
    "status": "completed",
    "arguments": '{"zone": "<b>UTC</b>"}',
}
OUTPUT = {
    "type": "clock_call_output",
    "id": "clo_1",
    "call_id": "call_1",
    "status": "completed",
    "output": '{"time": "<i>12:00</i>"}',
}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy renderer, installed from its wheel."""
    monkeypatch.syspath_prepend(str(install(TOY, tmp_path)))
    importlib.invalidate_caches()
    monkeypatch.setattr(items, "INSTALLED", Installed())
    yield
    sys.modules.pop("toy_renderer", None)


def printed(bundle: Bundle) -> str:
    out = io.StringIO()
    Transcript(out).output("display_data", {"data": bundle.data})
    return out.getvalue()


def shown(item: dict[str, Any]) -> Bundle:
    bundle = render_item(item)
    assert bundle is not None
    return bundle


def test_renderer_from_another_wheel(toy: None) -> None:
    bundle = shown(OUTPUT)
    assert "It is &lt;i&gt;12:00&lt;/i&gt;." in bundle.data["text/html"]
    assert bundle.data["text/plain"] == "It is <i>12:00</i>."
    assert bundle.metadata["agent_kernel"] == {"id": "clo_1", "call_id": "call_1"}
    assert printed(bundle) == "  It is <i>12:00</i>.\n"


def test_failing_renderer_falls_back_and_says_so_once(toy: None) -> None:
    bad = {**OUTPUT, "output": '{"hour": 12}'}
    first, second = shown(bad).data["text/plain"], shown(bad).data["text/plain"]
    assert first.startswith("The renderer for `clock_call_output` `failed: KeyError: 'time'`.")
    assert first.endswith(second)
    assert second == shown({**bad, "type": "other"}).data["text/plain"].replace(
        "other", "clock_call_output", 1
    )
    assert "12:00" in shown(OUTPUT).data["text/plain"]


def test_slow_renderer_is_turned_off() -> None:
    begun, end = [], threading.Event()

    class Slow:
        def render(self, item: Any, limit: int) -> ShownItem | None:
            begun.append(item)
            end.wait()
            return None

    guarded = Guarded("clock_call", Slow, seconds=0.05)
    first = guarded(CALL, 1000)
    assert first is not None
    assert "took longer than 0.05 s" in first.plain
    assert guarded(CALL, 1000) == generic(CALL, 1000)
    assert len(begun) == 1
    end.set()


@pytest.mark.parametrize("returned", ["text", ShownItem("x" * 2_000_000, "", ""), ShownItem(1, "", "")])  # type: ignore[arg-type]
def test_renderer_that_returns_something_else(returned: Any) -> None:
    class Wrong:
        def render(self, item: Any, limit: int) -> Any:
            return returned

    answer = Guarded("clock_call", Wrong)(CALL, 1000)
    assert answer is not None
    assert "clock_call" in answer.plain
    assert len(answer.html) < 10_000


def test_renderers_of_the_product_cannot_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("message", "no_such_module:x", registry.GROUP)
    monkeypatch.setattr(items, "INSTALLED", Installed(lambda: [point]))
    message = {"type": "message", "content": [{"type": "output_text", "text": "hello"}]}
    assert shown(message).data["text/plain"] == "hello"


def test_call_without_renderer() -> None:
    bundle = shown({**CALL, "name": "clock", "status": "incomplete"})
    assert bundle.data["text/plain"] == 'clock_call: clock (incomplete)\n{\n "zone": "<b>UTC</b>"\n}'
    assert "<b>" not in bundle.data["text/html"]
    assert "&lt;b&gt;UTC&lt;/b&gt;" in bundle.data["text/html"]
    assert printed(bundle).splitlines()[0] == "  clock_call: clock (incomplete)"


def test_output_without_renderer() -> None:
    item = {"type": "clock_call_output", "output": [{"type": "output_text", "text": "12\n13"}]}
    assert shown(item).data["text/plain"] == "clock_call_output\n12\n13"


class Event:
    """A stream event, also of a type that no SDK knows."""

    def __init__(self, kind: str, **fields: Any) -> None:
        self.type = kind
        vars(self).update(fields)


def test_deltas_of_unknown_calls_are_followed() -> None:
    progress = Progress()

    def take(kind: str, **fields: Any) -> list[tuple[str, str]]:
        deltas = progress.take(Event(kind, output_index=0, **fields))  # type: ignore[arg-type]
        return [(delta.part, delta.text) for delta in deltas]

    take("response.output_item.added", item={"type": "clock_call", "call_id": "c", "name": "clock"})
    assert take("response.clock_call_arguments.delta", delta='{"zo') == [("arguments", '{"zo')]
    assert take("response.clock_call_arguments.delta", delta='ne": 1}') == [("arguments", 'ne": 1}')]
    assert take("response.clock_call.progress.delta", delta={"log": "x", "n": 2}) == [("log", "x")]
    assert take("response.output_item.done", item={**CALL, "arguments": '{"zone": 1}'}) == []
    item = progress.items[0]
    assert (item.kind, item.name, item.done) == ("clock_call", "clock", True)
    assert item.item() == {
        "type": "clock_call",
        "name": "clock",
        "status": "incomplete",
        "arguments": '{"zone": 1}',
        "log": "x",
    }


def test_output_that_came_without_deltas() -> None:
    progress = Progress()
    progress.take(Event("response.output_item.added", output_index=0, item={"type": "clock_call_output"}))  # type: ignore[arg-type]
    deltas = progress.take(Event("response.output_item.done", output_index=0, item=OUTPUT))  # type: ignore[arg-type]
    assert [delta.part for delta in deltas] == ["output"]
    assert json.loads(deltas[0].text) == {"time": "<i>12:00</i>"}


def test_item_of_the_models_server_is_named_in_a_line() -> None:
    made = {"upstream": {"origin": "0123", "id": "ws_1"}}
    item = {"type": "web_search_call", "id": "ws_2", "status": "failed", "agent_kernel": made}
    bundle = shown({**item, "action": {"type": "search", "query": "<b>tides</b>"}})
    line = "The model's server used a tool of its own: web_search_call (failed)"
    assert bundle.data["text/plain"] == line
    assert "tides" in bundle.data["text/html"]
    assert "<b>" not in bundle.data["text/html"]
    assert "0123" not in json.dumps(bundle.data)
