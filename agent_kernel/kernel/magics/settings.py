"""Magics for settings of turns: `%model`, `%instructions`, `%budget`, `%provenance`, `%set`, `%container`."""

from __future__ import annotations

import difflib
import json
import re
import shlex
import time
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import ConfigurationError, InvalidRequest
from agent_kernel.kernel.preferences import Budget, parse_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openai.types import ContainerCreateResponse

    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.base import Runtime, ServerReport

MAX_PARAMETER = 64 << 10
"""The largest value of a parameter in bytes: every command carries it in its environment."""


async def model(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """List the models, or switch the model. Either way, ask the model's server what it serves."""
    from agent_kernel.kernel.render.bundles import note, table
    from agent_kernel.kernel.render.text import code

    if len(arguments.split()) > 1 or (arguments.startswith("-") and arguments != "--default"):
        raise InvalidRequest(
            f"%model takes one name, not {arguments!r}.", hint="For example: %model openai/gpt-5"
        )
    runtime = await notebook.runtime()
    names = await runtime.models()
    if arguments:
        notebook.choices.said = notebook.choices.said.choose(
            model=None if arguments == "--default" else arguments
        )
        report = await _server_of(runtime, notebook.model)
        text = f"Cells now use {_named(notebook.model)}."
        listed = notebook.model in names or notebook.recording.plays is not None
        if report is None and notebook.model and not listed and names:
            near = difflib.get_close_matches(notebook.model, names, n=1)
            guess = f" Did you mean {code(near[0])}?" if near else ""
            text += f" The runtime does not list it; run a cell to see if it exists.{guess}"
        outputs.emit(note(text))
    else:
        report = await _server_of(runtime, notebook.model)
        rows = [[name, "this notebook's" if name == notebook.model else ""] for name in names]
        caption = f"Cells use {_named(notebook.model)}."
        outputs.result(table(["model", ""], rows, caption).bundle() if rows else note(caption))
    if report is not None:
        _show(report, outputs)


async def _server_of(runtime: Runtime, name: str | None) -> ServerReport | None:
    """Return the server's report on the model. None if there is no server, or only the runtime reaches it."""
    from agent_kernel.runtime.base import AsksModelServers

    if not isinstance(runtime, AsksModelServers):
        return None
    try:
        return await runtime.model_server(name)
    except (InvalidRequest, ConfigurationError):  # the cell that uses this model shows why it cannot
        return None


def _show(report: ServerReport, outputs: CellOutputs) -> None:
    from agent_kernel.kernel.render.bundles import note, notice

    if report.problem is not None:
        outputs.emit(notice(" ".join(filter(None, [report.problem, report.hint]))))
        return
    outputs.emit(note(f"{report.server_line}. Tools: {report.tools_line}. Context: {report.context_line}."))
    if report.tools is False:
        outputs.emit(notice(report.tools_hint))


def _named(name: str | None) -> str:
    from agent_kernel.kernel.render.text import code

    return code(name) if name else "the runtime's default model"


async def instructions(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show or change the notebook's instructions."""
    from agent_kernel.kernel.render.bundles import note, notice

    text = arguments.strip()
    if text.startswith("--") and text != "--clear":
        raise InvalidRequest(f"%instructions does not know {text.split()[0]}.", hint="Use --clear.")
    if text:
        notebook.choices.said = notebook.choices.said.choose(instructions="" if text == "--clear" else text)
        done = "cleared" if text == "--clear" else "set; the model gets them before every turn"
        outputs.emit(note(f"This notebook's instructions are {done}."))
        return
    own = notebook.choices.now.instructions
    outputs.result(notice(own) if own else note("This notebook has no instructions."))


async def budget(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show or change the budget."""
    from agent_kernel.kernel.render.bundles import note

    if arguments == "--clear":
        notebook.choices.said = notebook.choices.said.choose(budget={})
        outputs.emit(note("This notebook's budget is cleared."))
    elif arguments:
        notebook.choices.said = notebook.choices.said.choose(budget=parse_budget(arguments))
        outputs.emit(note(f"Each turn may now use {_limits(notebook.budget)}."))
    else:
        now = notebook.budget
        outputs.result(note(f"Each turn may use {_limits(now)}." if now else "No limit is set for a turn."))


async def provenance(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show or change whether figures are linked to the outputs that have them."""
    from agent_kernel.kernel.render.bundles import note

    if arguments not in ("", "on", "off"):
        raise InvalidRequest(f"%provenance does not know {arguments!r}.", hint="Use on or off.")
    if arguments:
        notebook.choices.said = notebook.choices.said.choose(provenance=arguments == "on")
    words = "are linked to the outputs of their turn" if notebook.provenance else "are shown as they are"
    (outputs.emit if arguments else outputs.result)(note(f"The figures of answers {words}."))


def _limits(limits: Budget) -> str:
    return ", ".join(f"{value:,g} {name.replace('_', ' ')}" for name, value in limits.items())


async def set_parameter(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Set a shell variable and inform the model."""
    from agent_kernel.kernel.private import run_private
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.text import code

    name, value = _parameter(arguments)
    shown = json.dumps(value, ensure_ascii=False)
    text = value if isinstance(value, str) else shown
    if len(text.encode("utf-8", "replace")) > MAX_PARAMETER or "\0" in text:
        raise InvalidRequest(
            f"{name} is too long for a shell variable, or is not text.",
            hint="Put it into a file and upload the file.",
        )
    if await run_private(notebook, f"export {name}={shlex.quote(text)}", outputs, quiet=True):
        raise InvalidRequest(f"The shell does not allow setting {name}.", hint="Choose another name.")
    notebook.tell_model(f"The user set a parameter: {name} = {shown}. It is in the shell as ${name}.")
    outputs.emit(note(f"{code(name)} = {code(shown)}"))


def _parameter(arguments: str) -> tuple[str, Any]:
    name, equals, text = (part.strip() for part in arguments.partition("="))
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InvalidRequest(
            f"%set needs a name and a value, not {arguments!r}." if arguments else "%set needs a name.",
            hint="For example: %set region=north, or %set years=[2024, 2025]",
        )
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


async def container(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show the container, reset its shell, or replace it."""
    from agent_kernel.kernel.render.bundles import note, table

    if arguments.split() == ["--reset-shell"]:
        await notebook.container.reset_shell()
        outputs.emit(note("The shell was reset. Files and background processes are kept."))
        return
    if arguments:
        await notebook.container.renew(_params_of(arguments), outputs)
    if notebook.container.id is None:
        outputs.result(note("There is no container yet; the first prompt, upload or command creates one."))
        return
    found = await (await notebook.runtime()).containers.retrieve(notebook.container.id)
    outputs.result(table(["property", "value"], container_rows(found)).bundle())


LIMITS: dict[str, Callable[[str], float | int | str]] = {
    "cpus": float,
    "pids": int,
    "open_files": int,
    "disk": int,
    "volume": str,
}
"""The options of `%container --new` for the container's field `agent_kernel`."""


def _params_of(arguments: str) -> dict[str, Any]:
    words = arguments.split()
    asked: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--new":
            continue
        if not equals or not value or name in asked or name not in ("memory", *LIMITS):
            raise InvalidRequest(
                f"%container does not know {word!r}.",
                hint="Use --reset-shell, --new or memory=1g. %container alone shows the container.",
            )
        asked[name] = value
    if "--new" not in words:
        raise InvalidRequest(
            "A container's limits are set when it is created.",
            hint=f"To create a new, empty one: %container --new {' '.join(words)}",
        )
    return container_params(asked)


def container_params(asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the `ContainerCreateParams` for these limits, as they were typed.

    Raises `InvalidRequest`, with the limit's name as `param`, for one that is not a number.
    """
    ours: dict[str, float | int | str] = {}
    for name, value in asked.items():
        try:
            if name != "memory":
                ours[name] = LIMITS[name](value)
        except ValueError:
            raise InvalidRequest(f"{name} must be a number, not {value!r}.", param=name) from None
    memory = {"memory_limit": asked["memory"]} if "memory" in asked else {}
    return {**memory, "agent_kernel": ours} if ours else memory


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def container_rows(found: ContainerCreateResponse) -> list[list[str]]:
    """Return what `%container` shows of a container: rows of property and value."""
    rows = [["id", found.id], ["name", found.name], ["status", found.status]]
    ours = (found.model_extra or {}).get("agent_kernel")
    if isinstance(ours, dict):
        rows += [[str(name), _text(value)] for name, value in ours.items() if value]
    if found.memory_limit:
        rows.append(["memory", found.memory_limit])
    minutes = found.expires_after.minutes if found.expires_after else None
    if minutes:
        left = (found.last_active_at or found.created_at) + minutes * 60 - time.time()
        rows.append(["time left", f"{max(0, round(left / 60))} of {minutes} minutes, if unused"])
        rows.append(["expires", f"{minutes} minutes after this kernel ends"])
    return rows
