"""The Jupyter protocol's own test suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jupyter_kernel_test
import pytest

from agent_kernel.kernel.magics import MAGICS


@pytest.fixture(scope="module", autouse=True)
def suite_finds_the_kernel(jupyter_path: Path) -> Iterator[None]:
    """The suite starts its kernel in `setUpClass`, before any fixture of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter_path))
        yield


class TestAgentKernel(jupyter_kernel_test.KernelTests):
    kernel_name = "agent"
    language_name = "agent"
    file_extension = ".md"
    code_generate_error = "%nosuch"
    code_inspect_sample = "%upload"
    code_display_data = [
        {"code": "say hello", "mime": "text/html"},
        {"code": "say hello", "mime": "text/markdown"},
        {"code": "say hello", "mime": "application/vnd.agent-kernel.item+json"},
        {"code": "!echo hello", "mime": "text/plain"},
        {"code": "%help", "mime": "text/html"},
    ]
    completion_samples = [
        {"text": "%up", "matches": {"%upload"}},
        {"text": "%", "matches": {f"%{name}" for name in MAGICS}},
        {"text": "say", "matches": set()},
    ]
    complete_code_samples = ["say hello", "%files", "!ls"]
    incomplete_code_samples = ["!ls \\"]
    invalid_code_samples = ["%nosuch"]

    def test_only_what_is_served_is_claimed(self) -> None:
        self.flush_channels()
        self.kc.kernel_info()
        reply = self.kc.get_shell_msg(timeout=15)
        assert reply["content"]["supported_features"] == []


class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "agent"
    support_iopub_welcome = True
