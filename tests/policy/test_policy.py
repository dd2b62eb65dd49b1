from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from agent_kernel.policy.rules import (
    STRICTNESS,
    Action,
    Policy,
    Rule,
    Verdict,
    read_policy,
    strictest,
    strictest_about_host,
)


@pytest.mark.parametrize(
    ("command", "action"),
    [
        ("git status", "allow"),
        ("git status; ls -l", "allow"),
        ("git status && rm x", "deny"),
        ("git push", "ask"),
        ("git status $(git push)", "ask"),
        ("ls $(touch x)", "ask"),
        ("ls > x", "ask"),
        ("unknown", "ask"),
        ("eval 'rm x'", "deny"),
        ("alarm", "ask"),
    ],
)
def test_the_first_rule_that_decides_decides(command: str, action: Action) -> None:
    policy = Policy(
        "ask",
        (
            Rule("allow", "git status"),
            Rule("deny", "rm *", reason="Nothing is deleted here."),
            Rule("allow", "ls *"),
        ),
    )
    verdict = policy.verdict([command])
    assert verdict.action == action
    if action == "deny":
        assert verdict.reason == "Nothing is deleted here."


def test_the_order_of_rules_counts() -> None:
    allow, ask = Rule("allow", "rm -i *"), Rule("ask", "rm *")
    assert Policy("allow", (allow, ask)).verdict(["rm -i x"]).action == "allow"
    assert Policy("allow", (ask, allow)).verdict(["rm -i x"]).action == "ask"
    assert Policy("allow", (allow, ask)).verdict(["rm -i x; rm y"]).action == "ask"


def test_one_command_of_a_call_decides_for_all() -> None:
    policy = Policy("allow", (Rule("ask", "curl *"), Rule("deny", "rm *")))
    assert policy.verdict(["ls", "curl x"]).action == "ask"
    assert policy.verdict(["curl x", "rm y", "ls"]).action == "deny"
    assert policy.verdict(["ls"]).action == "allow"


def test_size_is_that_of_the_command_in_bytes() -> None:
    policy = Policy("allow", (Rule("ask", larger_than=10),))
    assert policy.verdict(["0123456789"]).action == "allow"
    assert policy.verdict(["012345678é"]).action == "ask"
    both = Policy("allow", (Rule("ask", "cat *", larger_than=10),))
    assert both.verdict(["cat 0123456789"]).action == "ask"
    assert both.verdict(["echo 0123456789"]).action == "allow"


WORDS = ("ls", "rm", "git", "status", "-rf", "x", ";", "&&", "$(", ")", "'", ">", "|", "\n", "eval")
PATTERNS = ("ls *", "rm *", "git status", "git *", "eval *", "x", "rm -rf *")


def _some(chance: random.Random) -> Policy:
    actions: tuple[Action, ...] = ("allow", "ask", "deny")
    rules = [Rule(chance.choice(actions), chance.choice(PATTERNS)) for _ in range(chance.randint(0, 4))]
    return Policy(chance.choice(actions), tuple(rules))


def test_no_policy_loosens_another() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        policies = [_some(chance) for _ in range(2)]
        commands = [" ".join(chance.choices(WORDS, k=chance.randint(1, 6))) for _ in range(2)]
        both = STRICTNESS[strictest(policies, commands).action]
        for policy, command in itertools.product(policies, commands):
            assert both >= STRICTNESS[policy.verdict([command]).action]


def test_a_rule_that_allows_changes_nothing_for_what_is_not_plain() -> None:
    chance = random.Random(6)
    allowing = tuple(Rule("allow", pattern) for pattern in PATTERNS)
    for _ in range(1000):
        command = " ".join(chance.choices(WORDS, k=3)) + chance.choice((" $(rm x)", " > y", " `id`", " # z"))
        assert Policy("deny", allowing).verdict([command]).action == "deny"


def test_a_policy_is_read_as_it_is_written() -> None:
    chance = random.Random(7)
    for policy in (_some(chance) for _ in range(200)):
        assert read_policy(policy.to_json()) == policy
    assert read_policy("auto") == Policy()
    assert read_policy("never") == Policy("deny")
    assert read_policy({"default": "ask"}) == Policy("ask")
    assert read_policy({}) == Policy()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "auto, ask, never"),
        ("Auto", "one of auto"),
        (7, "auto, ask, never"),
        ({"defualt": "ask"}, "no field 'defualt'"),
        ({"default": None}, "approval.default"),
        ({"rules": "rm"}, "approval.rules"),
        ({"rules": [{}]}, "rules[0].action"),
        ({"rules": [{"action": "ask"}]}, "matches nothing"),
        ({"rules": [{"action": "ask", "command": "*"}]}, "every command"),
        ({"rules": [{"action": "ask", "command": " "}]}, "rules[0].command"),
        ({"rules": [{"action": "ask", "command": "x" * 1001}]}, "rules[0].command"),
        ({"rules": [{"action": "ask", "pattern": "rm"}]}, "no field 'pattern'"),
        ({"rules": [{"action": "allow", "larger_than": 5}]}, "no other condition"),
        ({"rules": [{"action": "allow", "command": "ls", "larger_than": 5}]}, "no other condition"),
        ({"rules": [{"action": "ask", "larger_than": -1}]}, "larger_than"),
        ({"rules": [{"action": "ask", "larger_than": True}]}, "larger_than"),
        ({"rules": [{"action": "ask", "command": "rm", "reason": 1}]}, "reason"),
        ({"rules": [{"action": "ask", "command": "rm"}] * 201}, "at most 200"),
        ({"rules": [7]}, "rules[0] must be an object"),
    ],
)
def test_what_cannot_be_read_is_named(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match="approval") as caught:
        read_policy(given)
    assert words in str(caught.value)


HOSTS = read_policy(
    {
        "default": "ask",
        "rules": [
            {"host": "*.Example.org:443", "action": "allow"},
            {"host": "api.example.org", "action": "deny", "reason": "Not that one."},
            {"host": "[fd00::1]:22", "action": "ask"},
            {"command": "curl *", "action": "deny"},
        ],
    }
)


@pytest.mark.parametrize(
    ("name", "port", "action"),
    [
        ("a.example.org", 443, "allow"),
        ("api.example.org", 443, "allow"),
        ("api.example.org", 80, "deny"),
        ("fd00::1", 22, "ask"),
        ("fd00::1", 23, None),
        ("example.org", 443, None),
        ("evilexample.org", 443, None),
        ("curl", 443, None),
    ],
)
def test_first_host_rule_that_matches_decides(name: str, port: int, action: str | None) -> None:
    verdict = HOSTS.about_host(name, port)
    assert (verdict and verdict.action) == action
    assert read_policy(HOSTS.to_json()) == HOSTS


@pytest.mark.parametrize(("pattern", "shown"), [("rm *", "rm …"), ("rm *.txt", "rm *.txt"), ("ls", "ls")])
def test_reason_shows_a_pattern_in_words(pattern: str, shown: str) -> None:
    verdict = Policy("allow", (Rule("ask", pattern),)).verdict([pattern.replace("*", "x")])
    assert verdict == Verdict("ask", f"The policy asks before commands like `{shown}`.")


def test_host_rules_are_about_no_command() -> None:
    assert HOSTS.verdict(["echo api.example.org"]).action == "ask"
    denied = Policy("allow", (Rule("deny", host="api.example.org"),))
    assert denied.verdict(["curl api.example.org"]).action == "allow"
    assert strictest_about_host([HOSTS, denied], "api.example.org", 443) == Verdict(
        "deny", "The policy denies connections to `api.example.org`."
    )
    assert strictest_about_host([HOSTS, denied], "other.example", 443) is None


@pytest.mark.parametrize(
    "host",
    ["", "*", "a b", "https://a.example", "a.example:0", "a.example:65536", "bücher.example", 7, "a" * 301],
)
def test_wrong_host_pattern_is_refused(host: object) -> None:
    with pytest.raises(ValueError, match=r"approval.rules\[0\].host"):
        read_policy({"rules": [{"action": "deny", "host": host}]})
    with pytest.raises(ValueError, match="no command"):
        read_policy({"rules": [{"action": "deny", "host": "a.example", "command": "x *"}]})
