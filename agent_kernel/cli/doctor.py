"""`agent-kernel doctor`: a table of what is installed, what is missing, and how to install it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent_kernel.cli import flags
from agent_kernel.config import Settings
from agent_kernel.errors import AgentKernelError, InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.egress.policy import NetworkPolicy
    from agent_kernel.egress.presets.presets import Presets
    from agent_kernel.models.catalogue import Models
    from agent_kernel.models.server_report import ServerReport
    from agent_kernel.sandboxes.base import Backend, Capabilities


@dataclass(frozen=True)
class Finding:
    """A row of the table. `needed`: the kernel, as configured, does not work without it."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    needed: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--json` and the settings that are checked."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    flags.add_settings(parser, (*flags.WHERE, "network", "model", "upstream_url", "upstream_key"))


def run(arguments: argparse.Namespace) -> int:
    """Print all findings. Return 1 if something needed is missing."""
    findings = asyncio.run(examine(flags.load(arguments)))
    healthy = all(finding.ok for finding in findings if finding.needed)
    if arguments.json:
        print(json.dumps({"ok": healthy, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        print(_table(findings))
        print(
            "\nAll requirements are installed." if healthy else "\nA requirement is missing; see the arrows."
        )
    return 0 if healthy else 1


def _table(findings: list[Finding]) -> str:
    colours = sys.stdout.isatty()
    lines = []
    for finding in findings:
        sign, colour = ("ok", 32) if finding.ok else ("missing", 31) if finding.needed else ("absent", 33)
        word = f"{sign:<8}"
        lines.append(
            (f"\x1b[{colour}m{word}\x1b[0m" if colours else word) + f"{finding.name:<13}{finding.detail}"
        )
        if finding.hint and not finding.ok:
            lines.append(" " * 21 + f"→ {finding.hint}")
    return "\n".join(lines)


async def examine(settings: Settings, *, quick: bool = False) -> list[Finding]:
    """Return all findings, in the order in which to act on them.

    `quick` starts no sandbox to list its packages, asks no server, and looks at no preset. With a server that
    runs the sandboxes elsewhere, that server is asked.
    """
    if settings.runtime.runtime_url:
        return [_python(), *([] if quick else [await _runtime_server(settings)]), *_jupyter()]
    if quick:
        return [
            _python(),
            _data_folder(settings),
            *await _sandboxes(settings, quick=True),
            *await _model(settings, quick=True),
        ]
    return [
        _python(),
        _data_folder(settings),
        *_mounts(settings),
        *await _network(settings),
        *await _sandboxes(settings),
        *await _model(settings),
        *_jupyter(),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python", sys.version_info >= (3, 11), f"{version} at {sys.executable}", "Install Python 3.11."
    )


def _data_folder(settings: Settings) -> Finding:
    import tempfile

    path = settings.runtime.data_path()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        hint = "Set AGENT_KERNEL_DATA_DIR to a folder that you can write to."
        return Finding("data folder", False, f"{path}: {error.strerror}", hint)
    return Finding("data folder", True, str(path))


def _mounts(settings: Settings) -> list[Finding]:
    """Check the folders that containers may mount, if there are any."""
    from agent_kernel.cli.compose import allowed

    try:
        mounts = allowed(settings).mounts
    except AgentKernelError as error:
        return [Finding("mounts", False, error.message, error.hint)]
    return [Finding("mounts", True, ", ".join(f"{m.source} as {m.target}" for m in mounts.values()))] * bool(
        mounts
    )


async def _network(settings: Settings) -> list[Finding]:
    """Show the hosts that containers may reach and, if there are any, those of every preset."""
    from agent_kernel.cli.compose import network
    from agent_kernel.egress.catalogue import PRESETS

    try:
        policy, presets = await asyncio.to_thread(network, settings)
    except AgentKernelError as error:
        return [Finding("network", False, error.message, error.hint)]
    allowed = policy.to_json().get("allowed_domains", [])
    if not allowed:
        return [Finding("network", True, "no container has one: AGENT_KERNEL_NETWORK is empty", needed=False)]
    rows = (_preset(name, presets, used=name in policy.presets) for name in PRESETS)
    return [
        Finding("network", True, f"containers may reach {', '.join(allowed)}"),
        _secrets(policy),
        *await asyncio.gather(*rows),
    ]


def _secrets(operator: NetworkPolicy) -> Finding:
    """Check the packages that hosts with a secret need, and those that the operator limits to reading."""
    from agent_kernel.runtime.network.secrets import INSTALL, lacking

    problem = lacking(operator)
    detail = problem or "requests may have domain_secrets and read-only hosts"
    return Finding("secrets", problem is None, detail, INSTALL, needed=operator.reads)


async def _preset(name: str, presets: Presets, *, used: bool) -> Finding:
    """Show a preset's hosts. Only the indexes of one that is used are asked for their file hosts."""
    row = f"preset {name}"
    try:
        found = await presets.hosts(name) if used else None
        rules = found.rules if found else await asyncio.to_thread(presets.configured, name)
    except InvalidRequest as error:
        return Finding(row, False, error.message, error.hint, needed=False)
    listed = ", ".join(map(str, rules)) or "only an address, which needs its own tcp:// entry"
    if found is None:
        return Finding(row, True, f"not in AGENT_KERNEL_NETWORK; it would allow {listed}", needed=False)
    lacking = "".join(f"; file hosts may be missing: {problem}" for problem in found.problems)
    return Finding(row, True, listed + lacking, needed=False)


async def _runtime_server(settings: Settings) -> Finding:
    """Ask the server that runs this kernel's turns for its models."""
    from agent_kernel.cli.compose import kernel_runtime

    runtime = await kernel_runtime(settings)
    try:
        await runtime.models()
    except AgentKernelError as error:
        return Finding("server", False, error.message, error.hint)
    finally:
        await runtime.aclose()
    return Finding("server", True, f"{settings.runtime.runtime_url} answers")


async def _sandboxes(settings: Settings, *, quick: bool = False) -> list[Finding]:
    """Check the chosen backend, which is needed, and unless `quick` those that `auto` may choose."""
    from agent_kernel.cli import compose
    from agent_kernel.sandboxes import catalogue

    try:
        chosen, why = await compose.choose_backend(settings)
    except AgentKernelError as error:
        return [Finding("sandbox", False, error.message, error.hint)]
    findings = [Finding("sandbox", True, why)]
    try:
        local = [name for name in catalogue.BUILT_IN if catalogue.kind(name).answers is not None]
        for name in [chosen.name] if quick else dict.fromkeys([*local, chosen.name]):
            if settings.sandbox.docker_runtime and not catalogue.kind(name).runtimes:
                continue
            examined = chosen if chosen.name == name else compose.backend(settings, name)
            findings += await _backend(examined, chosen, settings, quick=quick)
    finally:
        await chosen.aclose()
    return findings


async def _backend(
    backend: Backend, chosen: Backend, settings: Settings, *, quick: bool = False
) -> list[Finding]:
    needed = backend is chosen
    try:
        probe = await backend.probe()
        found = [Finding(backend.name, probe.ok, probe.detail, probe.hint, needed=needed)]
        if needed and probe.ok and not quick:
            found.append(Finding("abilities", True, _abilities(backend.capabilities())))
            found.append(await _packages(backend, network=bool(settings.container.network.strip())))
        return found
    finally:
        await backend.aclose()


async def _packages(backend: Backend, *, network: bool = False) -> Finding:
    """Start a sandbox as a test, with a network or not, and list its Python packages for data."""
    from agent_kernel.sandboxes.network import Network
    from agent_kernel.sandboxes.packages import DATA_PACKAGES, data_packages

    try:
        found = await data_packages(
            backend, Network() if network and backend.capabilities().network else None
        )
    except AgentKernelError as error:
        return Finding("first sandbox", False, error.message, error.hint)
    if not found:
        why = "python3 does not run in a sandbox" if found is None else "a sandbox has none of those for data"
        hint = "Add the toolbox to the image: agent-kernel image build --from DOCKERFILE --name NAME"
        return Finding("packages", False, why, hint, needed=False)
    missing = [name for name in DATA_PACKAGES if name not in found]
    lacking = f"; not available: {', '.join(missing)}" if missing else ""
    return Finding("packages", True, ", ".join(f"{n} {v}" for n, v in found.items()) + lacking)


def _abilities(able: Capabilities) -> str:
    """Describe its isolation, the limits it enforces, and the optional parts it lacks."""
    limits = {
        "memory": able.memory_limit,
        "processes": able.process_limit,
        "processors": able.cpu_limit,
        "open files": able.open_files_limit,
        "disk": able.disk_limit,
    }
    parts = {
        "checkpoints": able.snapshots,
        "volumes": able.volumes,
        "mounts": able.mounts,
        "network": able.network,
    }
    kept = ", ".join(name for name, can in limits.items() if can) or "nothing"
    absent = [name for name, can in {**limits, **parts}.items() if not can]
    dies = "the command" if able.survives_out_of_memory else "the whole sandbox"
    memory = f"; out of memory ends {dies}" if able.memory_limit else ""
    lacking = f"; not available: {', '.join(absent)}" if absent else ""
    return f"isolation {able.isolation}; limits {kept}{memory}{lacking}"


async def _model(settings: Settings, *, quick: bool = False) -> list[Finding]:
    """Check the default model; unless `quick`, ask its server and those of the other named upstreams."""
    from agent_kernel.cli.compose import models
    from agent_kernel.models.base import HasServer

    name = settings.model.chosen()
    if name is None:
        hint = "Set AGENT_KERNEL_MODEL, for example to openai/NAME, or to scripted/demo to play the examples."
        return [Finding("model", False, "an upstream is set, but no model", hint)]
    catalogue = models(settings)
    try:
        model, upstream_name = catalogue.resolve(name)
        played = ", which plays a script and calls no upstream" if name.startswith("scripted/") else ""
        found = [Finding("model", True, f"{name}{played}")]
        if quick:
            return found
        if isinstance(model, HasServer):
            found += _server(await model.server(upstream_name))
        return found + await _other_servers(catalogue, settings, name)
    except AgentKernelError as error:
        return [Finding("model", False, error.message, error.hint)]
    finally:
        await catalogue.aclose()


async def _other_servers(catalogue: Models, settings: Settings, default: str) -> list[Finding]:
    """Ask each server of a named upstream once whether it answers, all at the same time."""
    from agent_kernel.models.base import HasServer

    prefixes = [each for each in settings.model.upstreams if each != default.partition("/")[0]]
    bodies = [catalogue.resolve(f"{prefix}/any")[0] for prefix in prefixes]
    asked = [
        (prefix, body) for prefix, body in zip(prefixes, bodies, strict=True) if isinstance(body, HasServer)
    ]
    reports = await asyncio.gather(*(body.server("") for _, body in asked))
    return [
        Finding(f"{prefix}/", report.problem is None, report.server_line, report.hint, needed=False)
        for (prefix, _), report in zip(asked, reports, strict=True)
    ]


def _server(report: ServerReport) -> Iterator[Finding]:
    """List what the model's server reports, or only that it did not answer."""
    yield Finding("model server", report.problem is None, report.server_line, report.hint)
    if report.problem is None:
        yield Finding("model tools", report.tools is not False, report.tools_line, report.tools_hint)
        yield Finding("context", True, report.context_line)


def _jupyter() -> Iterator[Finding]:
    from importlib.util import find_spec

    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("agent")
        yield Finding("kernelspec", True, spec.resource_dir, needed=False)
    except NoSuchKernel:
        yield Finding(
            "kernelspec", False, "Jupyter does not know the kernel", "agent-kernel install", needed=False
        )
    for name, module, extra in (
        ("serve", "starlette", "serve"),
        ("demo", "nbclient", "demo"),
        ("JupyterLab", "jupyterlab", "lab"),
    ):
        found = find_spec(module) is not None
        detail = "its packages are installed" if found else "its packages are not installed"
        yield Finding(name, found, detail, f'pip install "jupyter-agent-kernel[{extra}]"', needed=False)
