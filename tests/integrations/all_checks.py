"""Run Inspect's self check and the evaluation on one sandbox after the other; print a line of JSON for each.

All in one process, as to import Inspect takes longer than most of the checks. `test_inspect.py` runs it:
`all_checks.py FOLDER SANDBOX...`, where FOLDER/SANDBOX is the data folder of that sandbox.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.integrations.evaluation import evaluate

HERE = Path(__file__).parent
CHECKS = (
    "-q", "--noconftest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(HERE),
    "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=module",
    "-o", "asyncio_default_test_loop_scope=module", str(HERE / "self_check.py"),
)  # fmt: skip
"""Without the suite's `conftest.py`, which imports packages that Inspect's environment lacks."""


class Outcomes:
    """Counts the outcomes of tests, and keeps what the failed ones say."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.failures: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append(f"{report.nodeid} {report.when}: {report.longreprtext}")
        if report.when == "call" or report.failed:
            outcome = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
            self.counts[outcome] = self.counts.get(outcome, 0) + 1


def main(folder: Path, sandboxes: list[str]) -> None:
    """Check each of the sandboxes."""
    for sandbox in sandboxes:
        data = folder / sandbox
        os.environ |= {
            "AGENT_KERNEL_SANDBOX": sandbox,
            "AGENT_KERNEL_DATA_DIR": str(data),
            "INSPECT_LOG_DIR": str(data / "logs"),
        }
        outcomes = Outcomes()
        status = int(pytest.main(list(CHECKS), plugins=[outcomes]))
        found = {
            "sandbox": sandbox,
            "status": status,
            "counts": outcomes.counts,
            "failures": outcomes.failures,
            "evaluation": evaluate(),
        }
        print(f"\nRESULT {json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
