"""The kernel's settings, each with its meaning and its default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import Bool, Dict, Instance, Int, TraitError, Unicode, validate
from traitlets.config import Configurable

from agent_kernel.kernel.costs.prices import check_prices
from agent_kernel.policy.rules import Policy

DEFAULT_INSTRUCTIONS = """\
You are working in a Jupyter notebook, one cell per turn, for a person who reads along. Your shell runs in the
notebook's own container. Its state (working directory, variables, files) persists from turn to turn. The
person's files are in /mnt/data, the working directory. Python has pandas, numpy, scipy, scikit-learn,
statsmodels, matplotlib, seaborn, openpyxl, xlrd and lxml. Some containers also have pyarrow, polars, duckdb,
pyreadstat and python-calamine; others have odfpy. There may be no network. Pictures (PNG, JPEG) and tables
(CSV) that you save to /mnt/data appear in the notebook below your answer, and so do figures and tables that
Python code displays: show them once instead of describing them. Look at the data before you draw
conclusions. Say briefly what you did, and report anything that did not work."""


class KernelSettings(Configurable):
    """Settings of one kernel process, filled from files, flags and environment variables."""

    if TYPE_CHECKING:  # traits are descriptors: these declare the types of their values
        model: str | None
        instructions: str
        budget: str
        prices: dict[str, list[float]]
        max_upload: int
        max_upload_total: int
        max_files: int
        max_inline: int
        max_inline_files: int
        python: bool
        live: bool
        provenance: bool
        approval: Policy
        operator: Policy | None
    else:
        model = Unicode(
            None,
            allow_none=True,
            help="""Model that cells talk to, as `openai/<name>`, `chat/<name>`, `scripted/<file>` ...
            None leaves the choice to the runtime. An empty string counts as None.""",
        ).tag(config=True)
        instructions = Unicode(
            DEFAULT_INSTRUCTIONS,
            help="""Instructions sent to the model with every turn. Empty sends none.""",
        ).tag(config=True, variable="AGENT_KERNEL_INSTRUCTIONS")
        budget = Unicode(
            "",
            help="""What one turn of a cell may use: `tokens=N seconds=N tool_calls=N`, any of them. Empty: no
            limit but the runtime's own.""",
        ).tag(config=True, variable="AGENT_KERNEL_BUDGET")
        prices = Dict(
            help="""What a million tokens in and out cost, by model: `{"my-model": [0.5, 2]}`. They come
            before the built-in prices of common models.""",
        ).tag(config=True, variable="AGENT_KERNEL_PRICES")
        max_upload = Int(
            512 << 20,
            min=0,
            help="""Bytes: the largest file that `%upload` takes. 0 takes empty files only.""",
        ).tag(config=True)
        max_upload_total = Int(
            2 << 30,
            min=0,
            help="""Bytes: the total that one `%upload` or prompt may send.""",
        ).tag(config=True)
        max_files = Int(
            1000,
            min=1,
            help="""How many files one `%upload` or prompt may send.""",
        ).tag(config=True)
        max_inline = Int(
            4 << 20,
            min=0,
            help="""Bytes: a picture or table larger than this is named, not shown. 0 shows none.""",
        ).tag(config=True)
        max_inline_files = Int(
            12,
            min=0,
            help="""How many of the files that a turn wrote are shown; the rest is counted.""",
        ).tag(config=True)
        python = Bool(
            True,
            help="""Offer the model `code_interpreter`, Python in the container, beside the shell.""",
        ).tag(config=True, variable="AGENT_KERNEL_PYTHON")
        live = Bool(
            True,
            help="""Show a running turn in a live widget where the front end has cells.""",
        ).tag(config=True)
        provenance = Bool(
            True,
            help="""Link the figures of an answer to the outputs of its turn that have them, and mark those
            that none has.""",
        ).tag(config=True, variable="AGENT_KERNEL_PROVENANCE")
        approval = Instance(Policy, ())
        operator = Instance(
            Policy,
            allow_none=True,
            help="""The operator's approval policy, which applies to every turn. None: that of a server, which
            does not tell it.""",
        )

    @validate("prices")
    def _check_prices(self, proposal: Any) -> dict[str, list[float]]:
        try:
            return check_prices(proposal["value"])
        except ValueError as error:
            raise TraitError(f"KernelSettings.prices: {error}") from None
