"""The table of limits on speed: what is met, what is not, and what was not measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.against.builds import present
from benchmarks.speed.__main__ import MEASURES, measure, met, table
from benchmarks.speed.bench import QUICK, Bench, Figures
from benchmarks.speed.client import Client
from benchmarks.speed.limits import LIMITS
from benchmarks.turns import servers
from tests.models.sending.serving import serving

FAST = [{"now first embedded ms": 30.0, "before first embedded ms": each} for each in (60.0, 100.0, 120.0)]


def line(words: str, rounds: list[Figures]) -> str:
    found = table({"starts": rounds}).splitlines()
    return next(each for each in found if each.startswith(words))


def test_the_median_of_the_rounds_is_judged() -> None:
    words = "embedded: to a first command's end"
    assert line(words, FAST).split()[-3:] == ["<=", "0.4", "MET"]
    assert line(words, FAST[:1]).endswith("NOT MET")  # 0.5
    assert "0.30" in line(words, FAST)


def test_what_is_to_be_more_is_judged_the_other_way() -> None:
    words = "embedded: starts a second"
    for now, verdict in ((29.0, "NOT MET"), (31.0, "MET")):
        assert line(words, [{"now a_second": now, "before a_second": 10.0}]).endswith(f">= 3    {verdict}")


def test_what_was_not_measured_is_not_met() -> None:
    assert line("embedded: memory of an idle one", FAST).endswith("not measured")
    assert not met({"starts": FAST})
    assert met({})


def test_every_measure_has_a_limit_and_every_limit_a_measure() -> None:
    assert {limit.measure for limit in LIMITS} == set(MEASURES)
    assert all(limit.most is None or limit.least is None for limit in LIMITS)


async def test_a_measure_that_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(bench: Bench) -> AsyncIterator[Figures]:
        yield {"one": 1.0}
        raise RuntimeError("no engine")

    async def works(bench: Bench) -> AsyncIterator[Figures]:
        yield {"two": 2.0}

    monkeypatch.setitem(MEASURES, "load", fails)
    monkeypatch.setitem(MEASURES, "kernel", works)
    bench = Bench(present(), present(), QUICK, tmp_path)
    assert await measure(bench, ["load", "kernel"]) == {"load": [{"one": 1.0}], "kernel": [{"two": 2.0}]}
    assert "load failed: RuntimeError: no engine" in capsys.readouterr().err


async def test_the_client_finds_words_while_the_model_goes_on() -> None:
    async with servers.upstream("1", "1") as url:
        client = Client(url)
        for path, words in (("chat/completions", b'"content": "word'), ("responses", b"output_text.delta")):
            async with asyncio.timeout(30):
                answer = await client.ask(path, {"model": "m", "stream": True}, words)
            assert 0 < answer.found < answer.ended
            with pytest.raises(RuntimeError, match="is not in the answer"):
                await client.ask(path, {"model": "m", "stream": True}, b"never said")
        await client.aclose()


async def test_the_client_comes_back_after_its_server_has_hung_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nword\r\n0\r\n\r\n")

    async with serving(serve) as (url, connections):
        client = Client(url)
        for _ in range(2):
            await client.ask("responses", {}, b"word")
            assert client._streams is not None
            assert await client._streams[0].read() == b""  # its end has arrived
        await client.aclose()
    assert len(connections) == 2
