"""An index of many chunks needs little memory."""

import json
import subprocess
import sys

import pytest

from tests.tools.file_search.asked import ROOT


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hundred_thousand_chunks_take_at_most_200_mb() -> None:
    command = [sys.executable, "-m", "benchmarks.file_search", "--chunks", "100000", "--json"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    found = json.loads(printed.stdout)
    assert found["chunks"] == 100_000
    assert 0 < found["growth"] <= 200 << 20
