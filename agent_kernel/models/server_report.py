"""The report on a model's server: untrusted text, made safe to show."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN = 60
"""Characters shown of a name."""


@dataclass(frozen=True)
class ServerReport:
    """What a server says about one of its models. All texts are inert.

    `name` is empty if no model was asked about. `problem` says why turns fail, None if nothing is known
    against them; `hint` is the next step. `served`, `tools`, `context` (tokens) and `pictures` (as input)
    are None where the server does not tell. `alias`: the name of the only model of a server that answers to
    any name.
    """

    address: str
    name: str
    problem: str | None = None
    hint: str | None = None
    served: bool | None = None
    tools: bool | None = None
    context: int | None = None
    pictures: bool | None = None
    alias: str | None = None
    assumed: int | None = None
    """The size of the context in tokens that is configured, or known for the model."""

    @property
    def server_line(self) -> str:
        """Whether the server answers and serves the model."""
        if self.problem is not None:
            return self.problem
        if self.alias is not None:
            return f"{self.address} answers to any name, with {self.alias}"
        if self.served:
            return f"{self.address} serves {self.name}"
        if not self.name:
            return f"{self.address} answers"
        return f"{self.address} answers; it does not say whether it serves {self.name}"

    @property
    def tools_line(self) -> str:
        """Whether the model accepts tools."""
        if self.tools is None:
            return "unknown: the server does not say"
        return "accepted" if self.tools else "not accepted: this model cannot run commands"

    @property
    def tools_hint(self) -> str:
        """The next step for a model without tools."""
        return "Choose a model with tools, or start the server with a chat template that has them."

    @property
    def context_line(self) -> str:
        """The size of the context."""
        if self.context is None:
            tokens = "unknown" if self.assumed is None else f"{self.assumed:,} tokens are assumed"
            return f"{tokens}: the server does not say"
        too_large = self.assumed is not None and self.assumed > self.context
        return f"{self.context:,} tokens" + (
            f", although {self.assumed:,} are configured" if too_large else ""
        )


def inert(text: str, limit: int = _SHOWN) -> str:
    """Return at most `limit` characters as one line; each that is not printable becomes a question mark."""
    line = "".join(each if each.isprintable() else "?" for each in text[: limit + 1])
    return line if len(line) <= limit else line[:limit] + "…"
