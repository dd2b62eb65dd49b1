"""The preset `cran`: the repositories in R's option `repos`."""

from __future__ import annotations

from collections.abc import Sequence

from agent_kernel.egress.presets.index import Index, IndexQuestion, NoHosts, sites
from agent_kernel.egress.presets.operator import Operator

_SHOW = 'cat(paste0("repos ", getOption("repos"), "\\n"), sep = "")'
_HINT = 'Set options(repos = c(CRAN = "https://...")) in Rprofile.site.'


def read(operator: Operator) -> Sequence[Index]:
    """Return the repositories. Raises `NoHosts`."""
    rscript = operator.program("Rscript")
    if rscript is None:
        raise NoHosts("R is not installed", f"Install R. {_HINT}")
    shown = operator.run([rscript, "-e", _SHOW]) or ""
    urls = [line.removeprefix("repos ") for line in shown.splitlines() if line.startswith("repos ")]
    found = sites(urls)
    if not found:
        raise NoHosts("R's option repos names no repository", _HINT)
    return [Index(site, (IndexQuestion("src/contrib/PACKAGES.gz"),)) for site in found]
