"""The data packages that a sandbox says it has, and what the model is told of them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import pytest

from agent_kernel.errors import SandboxStartFailed
from agent_kernel.kernel.settings import DEFAULT_INSTRUCTIONS
from agent_kernel.sandboxes import packages
from agent_kernel.sandboxes.bubblewrap.backend import BubblewrapBackend
from agent_kernel.sandboxes.calls import Exited, Output, TimedOut
from agent_kernel.sandboxes.packages import DATA_PACKAGES, data_packages


async def read(*events: object) -> dict[str, str] | None:
    async def given() -> AsyncGenerator[object, None]:
        for event in events:
            yield event

    return await packages._read(given())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"pandas 2.3.3\npip 24.0\nscikit_learn 1.9.1+x\n", {"pandas": "2.3.3", "scikit-learn": "1.9.1+x"}),
        (b"pandas \x1b[2J\nnumpy 2.0 and more\nlxml \xe2\x80\xae1\nPolars 2\n", {"polars": "2"}),
        (b"pandas " + b"1" * 1000 + b"\nnumpy 2\n", {"numpy": "2"}),
        (b"x" * (1 << 20) + b"\npandas 1\n", {}),
        (b"", {}),
    ],
    ids=["ours", "hostile", "long", "huge", "empty"],
)
async def test_answer_is_a_claim(answer: bytes, expected: dict[str, str]) -> None:
    pieces = [Output("stdout", answer[n : n + 1000]) for n in range(0, len(answer), 1000)]
    assert await read(*pieces, Output("stderr", b"pandas 9\n"), Exited(0)) == expected


async def test_sandbox_without_an_answer() -> None:
    assert await read(Output("stderr", b"not found"), Exited(127)) is None
    assert await read(TimedOut()) is None
    with pytest.raises(SandboxStartFailed):
        await read(Output("stdout", b"pandas 1\n"))


@pytest.mark.bubblewrap
async def test_sandbox_is_removed(
    bubblewrap_backend: BubblewrapBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {ref.id for ref in await bubblewrap_backend.list()}
    monkeypatch.setattr(packages, "_QUESTION", "exit 3")
    assert await data_packages(bubblewrap_backend) is None
    monkeypatch.setattr(packages, "_QUESTION", "\0")
    with pytest.raises(Exception, match="NUL"):
        await data_packages(bubblewrap_backend)
    assert {ref.id for ref in await bubblewrap_backend.list()} <= before


def test_model_is_told_of_every_package() -> None:
    words = re.findall(r"[\w-]+", DEFAULT_INSTRUCTIONS)
    assert set(DATA_PACKAGES) <= set(words)
