"""The kernel's settings, each with its meaning and its default."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from traitlets import (
    Bool,
    Dict,
    Enum,
    Float,
    HasTraits,
    Instance,
    Int,
    TraitError,
    TraitType,
    Unicode,
    validate,
)
from traitlets.config import Configurable

from agent_kernel.cassettes.cassette import MODES
from agent_kernel.kernel.costs.prices import check_prices
from agent_kernel.policy.rules import Policy

if TYPE_CHECKING:
    from agent_kernel.kernel.preferences import Rerun

DEFAULT_INSTRUCTIONS = """\
You are working in a Jupyter notebook, one cell per turn, for a person who reads along. Your shell runs in the
notebook's own container. Its state (working directory, variables, files) persists from turn to turn. The
person's files are in /mnt/data, the working directory. Python has pandas, numpy, scipy, scikit-learn,
statsmodels, matplotlib, seaborn, openpyxl, xlrd and lxml. Some containers also have pyarrow, polars, duckdb,
pyreadstat and python-calamine; others have odfpy. There may be no network. Pictures (PNG, JPEG) and tables
(CSV) that you save to /mnt/data appear in the notebook below your answer, and so do figures and tables that
Python code displays: show them once instead of describing them. Look at the data before you draw
conclusions. Say briefly what you did, and report anything that did not work."""


class Texts(TraitType[Any, Any]):
    """A trait: a tuple of texts, in the environment as a list in JSON."""

    default_value = ()

    def from_string(self, s: str) -> Any:
        """Return the text as it is; `validate` parses it, because errors raised here are lost."""
        return s

    def validate(self, obj: HasTraits, value: Any) -> Any:
        """Return the texts. Raises `TraitError` for anything else."""
        if isinstance(value, str):
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            name = self.metadata.get("variable", self.name)
            raise TraitError(f'{name} must be a list of texts in JSON, such as ["one", "two"]')
        return tuple(value)


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
        apply_patch: bool
        web: bool | None
        live: bool
        provenance: bool
        record: str
        record_redact: tuple[str, ...]
        drift: str
        drift_ignore: tuple[str, ...]
        notebook: str
        secrets: frozenset[str]
        rerun: Rerun | None
        keep: bool
        max_points: int
        max_points_size: int
        points_days: float
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
        apply_patch = Bool(
            False,
            help="""Offer the model `apply_patch`, which changes files in the container by diffs.""",
        ).tag(config=True, variable="AGENT_KERNEL_APPLY_PATCH")
        web = Bool(
            None,
            allow_none=True,
            help="""Offer the model `web_search`. None: if this machine has a search service,
            `AGENT_KERNEL_WEB_SEARCH`. With a runtime elsewhere, that machine needs the service.""",
        ).tag(config=True, variable="AGENT_KERNEL_WEB")
        live = Bool(
            True,
            help="""Show a running turn in a live widget where the front end has cells.""",
        ).tag(config=True)
        provenance = Bool(
            True,
            help="""Link the figures of an answer to the outputs of its turn that have them, and mark those
            that none has.""",
        ).tag(config=True, variable="AGENT_KERNEL_PROVENANCE")
        record = Unicode(
            "",
            help="""Folder, or file that ends in .yaml, in which cells are recorded; see
            docs/guide/recording.md. Empty: nothing is recorded.""",
        ).tag(config=True, variable="AGENT_KERNEL_RECORD")
        record_redact = Texts(
            help="""Regular expressions of what is left out of cassettes, beside the keys that are configured
            and well-known forms of keys: `["PATTERN", ...]`.""",
        ).tag(config=True, variable="AGENT_KERNEL_RECORD_REDACT")
        drift = Enum(
            MODES,
            "warn",
            help="""What happens if a command of a replayed cell does not print what was recorded:
            `fail` the cell, `warn` with a report below it, or `ignore`.""",
        ).tag(config=True, variable="AGENT_KERNEL_DRIFT")
        drift_ignore = Texts(
            help="""Lines of outputs that may differ, as patterns with `*` and `?`: `["*seconds*", ...]`.""",
        ).tag(config=True, variable="AGENT_KERNEL_DRIFT_IGNORE")
        notebook = Unicode(
            "",
            help="""The notebook's file, for programs that run one without a Jupyter server: its metadata is
            read, and its cassette gets its name. Empty: as Jupyter says.""",
        ).tag(config=True, variable="AGENT_KERNEL_NOTEBOOK")
        secrets = Instance(frozenset, ())  # values of other settings that must not get into a cassette
        rerun = Enum(
            ("rewind", "continue", "ask"),
            default_value=None,
            allow_none=True,
            help="""What a cell does that has run before: `rewind` goes back to before it, `continue` goes on
            from where the notebook is, `ask` asks. None: `rewind` where cells have ids, else `continue`.""",
        ).tag(config=True, variable="AGENT_KERNEL_RERUN")
        keep = Bool(
            False,
            help="""Keep every notebook, so that it goes on where it was when its kernel has ended; see
            docs/guide/keeping.md. Without it `%session keep` keeps one.""",
        ).tag(config=True, variable="AGENT_KERNEL_KEEP")
        max_points = Int(
            100,
            min=1,
            help="""How many points a notebook can go back to; the oldest go first.""",
        ).tag(config=True)
        max_points_size = Int(
            10 << 30,
            min=0,
            help="""Bytes of all points of a notebook; the oldest go first.""",
        ).tag(config=True)
        points_days = Float(
            7.0,
            min=0.0,
            help="""Days after which a notebook's points are removed.""",
        ).tag(config=True)
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
