"""Outputs are compared line by line, without what differs from run to run; secrets are taken out."""

from __future__ import annotations

import pytest

from agent_kernel.cassettes.cassette import PrintedOutput, RecordedCell, SaidCall, Surroundings
from agent_kernel.cassettes.drift import around, compare, first_difference, numbers_between, report_lines
from agent_kernel.cassettes.redaction import REDACTED, Redaction
from agent_kernel.cassettes.text import kept
from agent_kernel.errors import ConfigurationError


def cell(*printed: PrintedOutput) -> RecordedCell:
    steps = tuple(
        (SaidCall("shell", {"action": {"commands": [f"run {n}"]}}, (each,)),)
        for n, each in enumerate(printed)
    )
    return RecordedCell("cell-7", "How heavy are they?", "aa", "", steps)


def test_report_names_cell_command_and_numbers() -> None:
    before = cell(PrintedOutput("birds: 344\nmean 4,207.06 g\nend"), PrintedOutput("same"))
    after = cell(
        PrintedOutput("birds: 343\nmean 4,198.11 g\nend\nmore"), PrintedOutput("same", "warning", "exit 2")
    )
    report = compare(before, after)
    assert report.cell == "cell-7 “How heavy are they?”"
    assert (report.failed, report.compared) == (2, 2)
    assert first_difference(report) == "Step 1, run 0: 344 → 343 (-1, -0.29%)."
    words = compare(cell(PrintedOutput("one")), cell(PrintedOutput("two")))
    assert first_difference(words) == "Step 1, run 0: two instead of one."
    assert report_lines(report) == [
        "step 1, run 0",
        "  expected  birds: 344",
        "  got       birds: 343",
        "            344 → 343 (-1, -0.29%)",
        "  expected  mean 4,207.06 g",
        "  got       mean 4,198.11 g",
        "            4,207.06 → 4,198.11 (-8.95, -0.21%)",
        "  expected  (no such line)",
        "  got       more",
        "step 2, run 1 (stderr)",
        "  expected  (no such line)",
        "  got       warning",
        "step 2, run 1 (ended)",
        "  expected  (no such line)",
        "  got       exit 2",
    ]


def test_ignored_lines_are_not_compared() -> None:
    before, after = (
        cell(PrintedOutput("took 3 seconds\n5 rows")),
        cell(PrintedOutput("took 4 seconds\n5 rows")),
    )
    assert compare(before, after).commands
    assert not compare(before, after, ["*seconds"]).commands
    assert compare(before, after, ["seconds"]).commands


def test_what_differs_from_run_to_run_is_not_kept() -> None:
    one = "\x1b[31mred\x1b[0m  \n10%\r100%\r\n<object at 0x7f12ab34cd56>\n\n"
    assert kept(one) == "red\n100%\n<object at 0x…>"


def test_middle_of_a_long_output_is_compared_by_digest() -> None:
    lines = [f"line {number}" for number in range(2000)]
    whole = kept("\n".join(lines))
    assert len(whole.split("\n")) == 61
    lines[1000] = "another"
    changed = kept("\n".join(lines))
    [drift] = compare(cell(PrintedOutput(whole)), cell(PrintedOutput(changed))).commands
    assert [(str(each.expected)[:17], str(each.got)[:17]) for each in drift.lines] == [
        ("[… 1940 lines mor",) * 2
    ]
    assert len(kept("x" * 5_000_000)) <= 400


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("a 1 b 2", "a 1 b 5", ("2 → 5 (+3, +150.00%)",)),
        ("0.0", "1e-9", ("0.0 → 1e-9 (+0.000000001)",)),
        ("1e300", "2e300", ("1e300 → 2e300 (+1.000000e+300, +100.00%)",)),
        ("word", "other", ()),
        ("1 a", "2 b", ()),
    ],
)
def test_difference_of_numbers(old: str, new: str, says: tuple[str, ...]) -> None:
    assert numbers_between(old, new) == says


def test_image_and_packages_that_changed_are_told() -> None:
    before = Surroundings("docker", "sha256:1", {"numpy": "1", "pandas": "2", "xlrd": "2"})
    after = Surroundings("docker", "sha256:2", {"numpy": "1", "pandas": "3"})
    assert around(before, after, request=True) == (
        "The request is not the recorded one: its instructions or its tools differ.",
        "The image is sha256:2, recorded was sha256:1.",
        "Packages: pandas 2 → 3, xlrd 2 → absent.",
    )


def test_secrets_are_redacted() -> None:
    redaction = Redaction(["s3cret-value", "abc"], [r"customer-\d+"])
    text = "s3cret-value abc customer-12 sk-abcdefghijklmnop1234 Authorization: Bearer abcdefghijklmnop.q"
    assert redaction.text(text) == f"{REDACTED} abc {REDACTED} {REDACTED} Authorization: Bearer {REDACTED}"
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\n-----END RSA PRIVATE KEY-----"
    assert redaction.value({"commands": [f"echo '{key}'"], "n": 1}) == {
        "commands": [f"echo '{REDACTED}'"],
        "n": 1,
    }


@pytest.mark.parametrize("pattern", ["(", "x*"])
def test_pattern_that_cannot_redact_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_RECORD_REDACT"):
        Redaction((), [pattern])
