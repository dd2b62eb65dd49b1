"""`%approve`: which commands the notebook asks about before they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.policy.rules import MODES, STRICTNESS, Policy, Rule, read_policy

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.render.bundles import Bundle

_ALL = {
    "allow": "All commands run.",
    "ask": "You are asked before every command.",
    "deny": "No command runs.",
}
_RULE = {
    "allow": "{} runs without asking",
    "ask": "you are asked before {}",
    "deny": "{} never runs",
}
_HOST = {
    "allow": "connections to {} need no answer",
    "ask": "you are asked before connections to {}",
    "deny": "connections to {} are refused",
}
_REST = {
    "allow": "All other commands run.",
    "ask": "You are asked before all other commands.",
    "deny": "No other command runs.",
}
_EXAMPLES = "For example: %approve ask, %approve ask rm *, %approve allow git status, %approve --clear"


async def approve(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show or change the notebook's approval policy."""
    from agent_kernel.kernel.render.bundles import note

    approvals = notebook.approvals
    if arguments == "--clear":
        approvals.forget()
    elif arguments:
        approvals.said = changed(notebook.approval, arguments)
    if not arguments:
        outputs.result(_table(notebook))
        return
    policy = notebook.approval
    outputs.emit(note(sentence(policy)))


def sentence(policy: Policy) -> str:
    """Return the policy in one line: its rules in order, then its default."""
    if not policy.rules:
        return default_in_words(policy)
    rules = [_in_words(rule) for rule in policy.rules]
    first = " The first rule that matches applies." if len(rules) > 1 else ""
    return f"{rules[0][0].upper()}{'; '.join(rules)[1:]}. {default_in_words(policy)}{first}"


def rule_in_words(rule: Rule) -> str:
    """Return a rule as a sentence in Markdown: "You are asked before `rm …`."."""
    words = _in_words(rule)
    return f"{words[0].upper()}{words[1:]}."


def default_in_words(policy: Policy) -> str:
    """Return what happens to commands that no rule matches, as a sentence."""
    return (_REST if policy.rules else _ALL)[policy.default]


def _in_words(rule: Rule) -> str:
    from agent_kernel.kernel.render.text import code

    if rule.host is not None:
        return _HOST[rule.action].format(code(rule.host))
    return _RULE[rule.action].format(_commands(rule))


def _commands(rule: Rule) -> str:
    """Return the commands that a rule is about, in words: `rm …`, or every command over 100 bytes."""
    from agent_kernel.kernel.render.approval import in_words

    named = in_words(rule.command) if rule.command else "every command"
    return named + (f" over {_size(rule.larger_than)}" if rule.larger_than is not None else "")


def changed(policy: Policy, arguments: str) -> Policy:
    """Return the policy with the changes in `arguments`. Raises `InvalidRequest`."""
    word, _, pattern = arguments.partition(" ")
    pattern = pattern.strip()
    if word not in MODES and word not in STRICTNESS:
        raise InvalidRequest(
            f"%approve does not know {word!r}. Use auto, ask or never; or allow, ask or deny with a pattern.",
            hint=_EXAMPLES,
        )
    if not pattern:
        return Policy(MODES.get(word) or word, policy.rules)  # type: ignore[arg-type]  # a key of STRICTNESS
    if not pattern.replace("*", "").replace("?", "").strip():
        raise InvalidRequest(
            f"%approve: `{pattern}` matches every command.",
            hint=f"%approve {word} is for all commands that no rule matches.",
        )
    option, _, host = pattern.partition(" ")
    subject = {"host": host.strip()} if option == "--host" else {"command": pattern}
    rules = [{"action": MODES.get(word, word), **subject}, *(rule.to_json() for rule in policy.rules)]
    try:
        return read_policy({"default": policy.default, "rules": rules})
    except ValueError as error:
        raise InvalidRequest(f"%approve: {error}.", hint=_EXAMPLES) from None


def _table(notebook: Notebook) -> Bundle:
    from agent_kernel.kernel.render.bundles import table

    policy = notebook.approval
    rows = [
        [
            rule.action,
            f"connections to {rule.host}" if rule.host is not None else rule.command or "any",
            _size(rule.larger_than),
            rule.reason or "",
        ]
        for rule in policy.rules
    ]
    rows += [
        ["allow", kind, "", "you allowed it, until the kernel stops"] for kind in notebook.approvals.allowed
    ]
    rows.append([policy.default, "everything else", "", ""])
    caption = f"{sentence(policy)} The operator has a policy as well: the stricter of the two decides."
    return table(["action", "commands", "larger than", "why"], rows, caption).bundle()


def _size(limit: int | None) -> str:
    return "" if limit is None else f"{limit} bytes"
