"""Diffs give the same text as with the Agents SDK's own applier, or both refuse them."""

from __future__ import annotations

import random

import pytest
from agents.apply_diff import apply_diff

from agent_kernel.tools.apply_patch.inside.v4a import Conflict, created, updated

FILE = "def f():\n    return 1\n\ndef g():\n    return 1\n"

CASES = [
    (FILE, "@@ def g():\n-    return 1\n+    return 2\n"),
    (FILE, "-    return 1\n+    return 3"),
    (FILE, "@@\n def g():\n-    return 1\n+    return 2\n@@\n+# end\n*** End of File"),
    (FILE, "@@ def f():\n@@ def g():\n-    return 1\n+    return 2"),
    (FILE, "@@ class A\n@@ def g():\n-    return 1\n+    return 2"),
    (FILE, "@@ def g():\n-    return 1\n+    return 2\n@@ def f():\n-    return 1\n+    return 2"),
    (FILE, " def f():\n-    return 2\n+    return 3"),
    (FILE, "-  return 1\n+    return 9"),
    (FILE, "garbage"),
    (FILE, "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2\n"),
    ("", "+first\n"),
    ("no newline", "-no newline\n+still none"),
    ("no newline", " no newline\n+more\n*** End of File"),
    ("a\r\nb\r\nc\r\n", " a\n-b\n+x\n+y\n c\n"),
    ("a\nb\n", " a\r\n-b\r\n+x\r\n"),
    ("a\na\nb\na\n", "@@ b\n-a\n+z\n"),
    ("tail   \n\n\n", "-tail\n+head\n"),
]


@pytest.mark.parametrize(("text", "diff"), CASES)
def test_update_is_that_of_the_agents_sdk(text: str, diff: str) -> None:
    assert outcome(text, diff) == reference(text, diff, "default")


@pytest.mark.parametrize("diff", ["+a\n+b\n", "+a\r\n+b", "+", "", "a", "+a\n*** End Patch\nx", " a"])
def test_new_file_is_that_of_the_agents_sdk(diff: str) -> None:
    assert outcome(None, diff) == reference("", diff, "create")


def test_random_diffs_are_those_of_the_agents_sdk() -> None:
    chosen = random.Random(7)
    words = ["a", "b", " a", "b ", "", "c", "\tb", "@@ a"]
    marks = [
        "@@",
        "@@ a",
        "@@ b",
        "@@ zz",
        "@@  c",
        "@@x",
        "*** End of File",
        "*** End Patch",
        "***",
        "",
        "x",
    ]
    accepted = 0
    for _ in range(4000):
        newline = chosen.choice(["\n", "\r\n"])
        text = newline.join(chosen.choices(words, k=chosen.randint(0, 8))) + chosen.choice(["", newline])
        lines = [
            chosen.choice(marks) if chosen.random() < 0.25 else chosen.choice(" +-") + chosen.choice(words)
            for _ in range(chosen.randint(0, 9))
        ]
        diff = chosen.choice(["\n", "\r\n"]).join(lines)
        wanted = reference(text, diff, "default")
        assert outcome(text, diff) == wanted, (text, diff)
        accepted += wanted is not None
    assert accepted > 500


def outcome(text: str | None, diff: str) -> str | None:
    try:
        return created(diff) if text is None else updated(text, diff)
    except Conflict:
        return None


def reference(text: str, diff: str, mode: str) -> str | None:
    try:
        made: str = apply_diff(text, diff, mode)
    except ValueError:
        return None
    return made
