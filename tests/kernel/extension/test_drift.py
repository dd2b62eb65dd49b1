"""The report of a replayed cell whose command printed something else, in JupyterLab."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from agent_kernel.cassettes.cassette import digest
from tests.kernel import lab
from tests.kernel.extension.conftest import Opened
from tests.kernel.extension.page import WAIT, start, violations

pytestmark = [pytest.mark.browser, pytest.mark.bubblewrap, pytest.mark.slow, pytest.mark.timeout(300)]

ASKED = "How heavy are the birds?"
CASSETTE = f"""
agent_kernel_cassette: 1
notebook: birds.ipynb
model: openai/gpt-5
recorded_in:
  sandbox: bubblewrap
  packages:
    pandas: 2.2.3
cells:
  - cell: cell-1
    asks: {ASKED}
    prompt: {digest(ASKED)}
    request: fd777da679df8e62
    steps:
      - - shell: awk -F, 'NR > 1 {{s += $2}} END {{print "mean", s / (NR - 1), "g"}}' birds.csv
          printed: mean 4050 g
      - - message: They weigh 4050 g on average.
"""


def test_drift_report_has_command_and_numbers(opened: Opened, lab_folder: Path, pictures: Path) -> None:
    cassettes = lab_folder / "replayed" / "cassettes"
    cassettes.mkdir(parents=True)
    (cassettes / "birds.yaml").write_text(CASSETTE)
    (cassettes.parent / "birds.csv").write_text("name,grams\nAda,4000\nBea,4300\n")
    cells = ["%upload birds.csv\n%model replay/cassettes/birds.yaml", ASKED]
    with opened("replayed/birds.ipynb", cells, height=760) as page:
        expect(start(page, 0)).to_contain_text("Cells now use", timeout=WAIT)
        shown = start(page, 1).locator(".jp-OutputArea")
        expect(shown).to_contain_text("printed something other than what was recorded", timeout=WAIT)
        expect(shown.get_by_role("table")).to_contain_text("4050 → 4150 (+100, +2.47%)")
        expect(shown).to_contain_text("Packages: pandas 2.2.3 →")
        assert violations(page, ".jp-OutputArea table") == []
        lab.picture(page, pictures / "drift.png")
