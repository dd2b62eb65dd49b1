"""`%approve`: which commands the notebook asks about before they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest
from agent_kernel.policy.rules import MODES, STRICTNESS, Policy, Rule, read_policy

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.render.bundles import Bundle

_WORDS = {action: mode for mode, action in MODES.items()}
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
    rules = f", with {len(policy.rules)} rule{'s' * (len(policy.rules) != 1)} of its own" * bool(policy.rules)
    outputs.emit(note(f"From here on this notebook's policy is `{_WORDS[policy.default]}`{rules}."))


def changed(policy: Policy, arguments: str) -> Policy:
    """Return the policy with the changes in `arguments`. Raises `InvalidRequest`."""
    word, _, pattern = arguments.partition(" ")
    pattern = pattern.strip()
    if word not in MODES and word not in STRICTNESS:
        raise InvalidRequest(
            f"%approve does not know {word!r}: auto, ask or never; or allow, ask or deny with a pattern.",
            hint=_EXAMPLES,
        )
    if not pattern:
        return Policy(MODES.get(word) or word, policy.rules)  # type: ignore[arg-type]  # a key of STRICTNESS
    action = MODES.get(word, word)
    rules = [Rule(action, pattern), *policy.rules]  # type: ignore[arg-type]
    try:
        return read_policy(Policy(policy.default, tuple(rules)).to_json())
    except ValueError as error:
        raise InvalidRequest(f"%approve: {error}.", hint=_EXAMPLES) from None


def _table(notebook: Notebook) -> Bundle:
    from agent_kernel.kernel.render.bundles import table

    policy = notebook.approval
    rows = [
        [rule.action, rule.command or "any", _size(rule.larger_than), rule.reason or ""]
        for rule in policy.rules
    ]
    rows += [["allow", kind, "", "you allowed this kind"] for kind in notebook.approvals.allowed]
    rows.append([policy.default, "everything else", "", ""])
    caption = (
        "What this notebook asks for, the first that matches. The runtime's own policy holds beside it: the "
        "stricter of the two decides."
    )
    return table(["action", "commands", "larger than", "why"], rows, caption).bundle()


def _size(limit: int | None) -> str:
    return "" if limit is None else f"{limit} bytes"
