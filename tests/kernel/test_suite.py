"""The Jupyter protocol's own test suite."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import jupyter_kernel_test
import pytest

from agent_kernel.kernel.magics.table import MAGICS
from agent_kernel.kernel.transfer.uploads import SHOWN_FROM


@pytest.fixture(scope="module", autouse=True)
def suite_finds_the_kernel(jupyter_path: Path) -> Iterator[None]:
    """The suite starts its kernel in `setUpClass`, before any fixture of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(jupyter_path))
        yield


class TestAgentKernel(jupyter_kernel_test.KernelTests):
    kernel_name = "agent"
    folder: TemporaryDirectory[str]
    language_name = "agent"
    file_extension = ".md"
    code_hello_world = "!!echo hello, world"
    code_stderr = "!!echo oh no >&2"
    code_page_something = "%upload?"
    code_generate_error = "%nosuch"
    code_inspect_sample = "%upload"
    code_execute_result = [
        {"code": "%budget", "result": "No limit is set for a turn."},
        {"code": "%instructions", "mime": "text/markdown"},
        {"code": "%files", "mime": "text/html"},
    ]
    code_history_pattern = "%budge?"  # earlier kernels ran others that begin so
    supported_history_operations = ("tail", "range", "search")  # type: ignore[assignment]  # base: ()
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
        {"text": "%help up", "matches": {"upload"}},
        {"text": "%budget s", "matches": {"seconds="}},
        {"text": "%download --", "matches": {"--force"}},
        {"text": "look at @pyproj", "matches": {"@pyproject.toml"}},
        {"text": "!ls @pyproj", "matches": set()},
        {"text": "say", "matches": set()},
    ]
    complete_code_samples = ["say hello", "%files", "!ls"]
    incomplete_code_samples = ["!ls \\", "%%bash\nls", "Explain\n```python\nx = 1"]
    invalid_code_samples = ["%nosuch", "%%nosuch\n"]

    @classmethod
    def setUpClass(cls) -> None:
        """`%upload` of a file that is large enough to show how far it has come, and takes that away again."""
        cls.folder = TemporaryDirectory()
        large = Path(cls.folder.name, "large.bin")
        large.write_bytes(bytes(2 * SHOWN_FROM))
        cls.code_clear_output = f"%upload {large}"
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls.folder.cleanup()

    def test_only_what_is_served_is_claimed(self) -> None:
        self.flush_channels()
        self.kc.kernel_info()
        reply = self.kc.get_shell_msg(timeout=15)
        assert reply["content"]["supported_features"] == []


class TestPythonCells(jupyter_kernel_test.KernelTests):
    """The suite's cases of a Python kernel, in `%%python` cells."""

    kernel_name = "agent"
    code_hello_world = "%%python\nprint('hello, world')"
    code_stderr = "%%python\nimport sys\nprint('oh no', file=sys.stderr)"
    code_page_something = "%%python?"
    code_generate_error = "%%python\nraise ValueError('wrong')"
    code_execute_result = [
        {"code": "%%python\n6 * 7", "result": "42"},
        {"code": "%%python\nanswer = 'yes'\nanswer", "result": "'yes'"},
        {"code": "%%python\n[n * n for n in range(4)]", "result": "[0, 1, 4, 9]"},
    ]
    code_history_pattern = "%%python??n * n for n in range(4)?"
    supported_history_operations = ("tail", "range", "search")  # type: ignore[assignment]  # base: ()
    code_display_data = [
        {"code": "%%python\ndisplay('text')", "mime": "text/plain"},
        {"code": "%%python\nimport pandas\ndisplay(pandas.DataFrame({'a': [1]}))", "mime": "text/html"},
        {
            "code": "%%python\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
            "mime": "image/png",
        },
    ]
    completion_samples = [
        {"text": "%%python\nzi", "matches": {"zip"}},
        {"text": "%%python\nimport math\nanswer.isal", "matches": {"isalnum", "isalpha"}},
    ]
    complete_code_samples = ["%%python\nx = 1", "%%python\ndef f():\n    return 1\n\n", "%%python\n!ls"]
    incomplete_code_samples = ["%%python", "%%python\nfor x in range(3):", "%%python\nprint('''end"]
    invalid_code_samples = ["%%python\nx = = 1", "%%python\nimport = 7q"]
    code_inspect_sample = "%%python\nzip"
    code_clear_output = "%%python\nfrom IPython.display import clear_output\nprint(1)\nclear_output()"

    @classmethod
    def setUpClass(cls) -> None:
        """Begin the session, so that there is something to complete and to inspect."""
        super().setUpClass()
        cls.kc.execute_interactive("%%python\nanswer = 'yes'", timeout=60, allow_stdin=False)

    def test_input_is_refused(self) -> None:
        self.flush_channels()
        reply, outputs = self.execute_helper("%%python\ninput('name? ')")
        assert reply["content"]["status"] == "error"
        assert "nobody can answer" in reply["content"]["evalue"]
        assert [each["msg_type"] for each in outputs] == ["error"]

    def test_displays_are_updated(self) -> None:
        self.flush_channels()
        self.execute_helper("%%python\nhandle = display(1, display_id=True)")
        _, outputs = self.execute_helper("%%python\nhandle.update(2)")
        assert [each["msg_type"] for each in outputs] == ["update_display_data"]


class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "agent"
    support_iopub_welcome = True

    @classmethod
    def setUpClass(cls) -> None:
        """Start the kernel, and let it send its first messages before the test subscribes.

        ipykernel 7.4 loses the welcome of a subscription that arrives while another message is sent. The test
        needs no heartbeat: jupyter_client 8.10 forgets to stop one that has not begun when the test ends.
        """
        super().setUpClass()
        first = cls.km.client()
        first.start_channels()
        first.wait_for_ready(timeout=60)
        first.stop_channels()
        cls.kc.start_channels = partial(cls.kc.start_channels, hb=False)  # type: ignore[method-assign]
