"""`%usage` and a notebook whose model has a small context window."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets import TraitError

from agent_kernel.kernel.costs.compute import TurnCompute, compute_of
from agent_kernel.kernel.costs.prices import Price, about, check_prices, price_of
from agent_kernel.kernel.ledger import TurnRecord, context_of
from agent_kernel.kernel.magics import turns
from agent_kernel.kernel.offers.tools import SHELL_MODEL
from agent_kernel.kernel.settings import KernelSettings
from tests.kernel.client import Notebook
from tests.kernel.upstream import played

Start = Callable[..., Notebook]


@pytest.mark.bubblewrap
def test_usage_shows_how_full_the_window_is(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with played() as upstream:
        monkeypatch.setenv("AGENT_KERNEL_UPSTREAM_URL", upstream.url)
        monkeypatch.setenv("AGENT_KERNEL_MODEL", "chat/played")
        monkeypatch.setenv("AGENT_KERNEL_PRICES", '{"played": [2, 1000000]}')
        notebook = start("agent-demo")
        notebook.run("look")
        assert "full" not in notebook.run("%usage").plain[0], "the size is not known yet"
        upstream.window = 8192
        notebook.run("!seq 1 9000")
        shown = notebook.run("look").plain
    assert shown[0] == "Let me look."
    line = "The conversation did not fit the model's context window of 8,192 tokens. For the model, long tool"
    assert shown[-1].startswith(line)
    text = notebook.run("%usage").plain[0]
    assert text.startswith("Costs use your own prices.")
    (percent, tokens) = re.findall(r"context window is (\d+)% full: ([\d,]+) of 8,192 tokens", text)[0]
    assert 30 < int(percent) <= 100
    assert int(tokens.replace(",", "")) <= 8192


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"context": {"tokens": 5, "window": 10}}, (5, 10)),
        ({"context": {"tokens": -5, "window": 10}}, (0, 10)),
        ({"context": {"tokens": 5, "window": 0}}, None),
        ({"context": {"tokens": "5", "window": 10}}, None),
        ({"context": [5, 10]}, None),
        ({}, None),
        ("context", None),
        (None, None),
    ],
)
def test_context_of_any_server(given: Any, found: tuple[int, int] | None) -> None:
    assert context_of(SimpleNamespace(model_extra={"agent_kernel": given})) == found
    assert context_of(SimpleNamespace(model_extra=None)) is None


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (
            {"compute": {"cpu_seconds": 1.5, "memory_byte_seconds": 7, "bytes_out": 9}},
            TurnCompute(1.5, 7.0, 9),
        ),
        ({"compute": {"bytes_out": 9}}, TurnCompute(None, None, 9)),
        (
            {"compute": {"cpu_seconds": -1, "memory_byte_seconds": float("nan"), "bytes_out": True}},
            TurnCompute(),
        ),
        ({"compute": {"cpu_seconds": "5", "bytes_out": 10**400}}, TurnCompute()),
        ({"compute": [1]}, None),
        ("compute", None),
    ],
)
def test_compute_of_any_server(given: Any, found: TurnCompute | None) -> None:
    assert compute_of(SimpleNamespace(model_extra={"agent_kernel": given})) == found


async def test_usage_shows_compute_by_cell_and_its_sum() -> None:
    records = [
        TurnRecord(1, model="local/x", input_tokens=5, compute=TurnCompute(1.5, 3e9, 1000)),
        TurnRecord(2, model="local/x"),
        TurnRecord(3, model="local/x", compute=TurnCompute(0.25, 1e9, 24)),
        TurnRecord(4, model=SHELL_MODEL, compute=TurnCompute(0.5, 1e9, 0)),
    ]
    shown: list[Any] = []
    notebook: Any = SimpleNamespace(
        settings=SimpleNamespace(prices={}), ledger=SimpleNamespace(records=records)
    )
    outputs: Any = SimpleNamespace(result=shown.append)
    await turns.usage(notebook, outputs, "")
    text = shown[0].data["text/plain"]
    assert "Your own commands used 0.50 s of processor time." in text
    cells = [line.split() for line in text.splitlines()]
    (header,) = (line for line in cells if line[:1] == ["cell"])
    assert header[-7:] == ["CPU", "s", "memory", "GB", "s", "bytes", "out"]
    assert [line[-3:] for line in cells if line[:1] in (["1"], ["3"], ["all"])] == [
        ["1.50", "3.00", "1,000"],
        ["0.25", "1.00", "24"],
        ["1.75", "4.00", "1,024"],
    ]


async def test_usage_says_what_was_not_measured() -> None:
    records = [
        TurnRecord(1, model="local/x", input_tokens=5, compute=TurnCompute(bytes_out=9)),
        TurnRecord(2, model="local/x"),
        TurnRecord(3, model=SHELL_MODEL, compute=TurnCompute()),
    ]
    shown: list[Any] = []
    notebook: Any = SimpleNamespace(
        settings=SimpleNamespace(prices={}), ledger=SimpleNamespace(records=records)
    )
    outputs: Any = SimpleNamespace(result=shown.append)
    await turns.usage(notebook, outputs, "")
    text = shown[0].data["text/plain"]
    assert "The processor time of your own commands was not measured." in text
    cells = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert cells["1"][-5:] == cells["all"][-5:] == ["not", "measured", "not", "measured", "9"]
    assert cells["2"][-1] == "0", "the turn's tokens: it ran nothing"


@pytest.mark.parametrize(
    ("model", "own", "expected"),
    [
        ("openai/gpt-5", {}, Price(1.25, 10, listed=True)),
        ("gpt-5-2025-08-07", {}, Price(1.25, 10, listed=True)),
        ("chat/claude-sonnet-4-5-20250929", {}, Price(3, 15, listed=True)),
        ("openai/gpt-5", {"gpt-5": [1, 2]}, Price(1, 2, listed=False)),
        ("openai/gpt-5", {"openai/gpt-5": [0, 0]}, Price(0, 0, listed=False)),
        ("openai/gpt-5-unheard-of", {}, None),
        ("scripted//some/where.yaml", {}, None),
        ("", {}, None),
    ],
)
def test_price_of_a_model(model: str, own: dict[str, list[float]], expected: Price | None) -> None:
    assert price_of(model, own) == expected


def test_cost_of_tokens() -> None:
    assert Price(1.25, 10, listed=True).of(1_000_000, 200_000) == 3.25


def test_usage_says_where_its_prices_come_from() -> None:
    said = about(["openai/gpt-5", "mine", "local/x", "local/x"], {"mine": [1, 1]})
    assert re.match(
        r"Costs are estimates in US dollars from a price table of \d{4}-\d\d-\d\d: list prices as", said
    )
    assert said.endswith(
        "Others use your own prices. No price is known for `local/x`; `KernelSettings.prices` sets one."
    )


def test_the_price_table_can_be_used() -> None:
    table = json.loads((files("agent_kernel.kernel.costs") / "prices.json").read_text("utf-8"))
    assert date.fromisoformat(table["read_on"]).isoformat() == table["read_on"]
    assert check_prices(table["prices"]) == table["prices"]
    assert list(table["prices"]) == sorted(table["prices"])


@pytest.mark.parametrize("wrong", [[1], [1, "2"], [1, -2], [1, float("inf")], [True, 1], 5, "12", [1, 2, 3]])
def test_a_price_is_two_numbers(wrong: Any) -> None:
    with pytest.raises(ValueError, match="the price of 'm' must be two numbers"):
        check_prices({"m": wrong})
    with pytest.raises(TraitError, match="two numbers"):
        KernelSettings(prices={"m": wrong})
