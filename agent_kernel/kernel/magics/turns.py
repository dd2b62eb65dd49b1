"""Magics for turns: `%usage`, `%replay`, `%%bash`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent_kernel.errors import AgentKernelError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from openai.types.responses import Response

    from agent_kernel.kernel.ledger import TurnRecord
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.provenance.turn import TurnItems


async def bash(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Run the rest of the cell as a script."""
    from agent_kernel.kernel.private import run_private

    options, _, script = arguments.partition("\n")
    if options.strip() not in ("", "--private"):
        raise InvalidRequest(f"%%bash does not know {options.strip()!r}.", hint="Use --private.")
    if not script.strip():
        raise InvalidRequest("%%bash has no script.", hint="Write the script on the lines below it.")
    if options.strip():
        await run_private(notebook, script, outputs)
    else:
        await notebook.shell(script, outputs)


async def usage(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show a table of tokens, cost and compute by cell and model, and how full the context window is."""
    from agent_kernel.kernel.costs.prices import about, price_of
    from agent_kernel.kernel.offers.tools import USER_MODELS
    from agent_kernel.kernel.render.bundles import note, table

    if arguments:
        raise InvalidRequest("%usage takes no arguments.", hint="It shows all cells.")
    prices = notebook.settings.prices
    records = [record for record in notebook.ledger.records if record.model not in ("", *USER_MODELS)]
    own = _own([record for record in notebook.ledger.records if record.model in USER_MODELS])
    if not records:
        outputs.result(note(" ".join(["No cell has asked a model yet.", *own])))
        return
    costs = [
        price.of(record.input_tokens, record.output_tokens) if price is not None else None
        for record in records
        for price in [price_of(record.model, prices)]
    ]
    rows = [
        [str(r.cell), r.model, f"{r.input_tokens:,}", f"{r.output_tokens:,}", _money(money)]
        for r, money in zip(records, costs, strict=True)
    ]
    known = [money for money in costs if money is not None]
    total = [sum(r.input_tokens for r in records), sum(r.output_tokens for r in records)]
    rows.append(["all", "", f"{total[0]:,}", f"{total[1]:,}", _money(sum(known) if known else None)])
    header = ["cell", "model", "tokens in", "tokens out", "cost", *_add_compute(rows, records)]
    captions = [about((record.model for record in records), prices)]
    if filled := _filled(records[-1]):
        captions.append(filled)
    outputs.result(table(header, rows, " ".join([*captions, *own])).bundle())


def _add_compute(rows: Sequence[list[str]], records: Sequence[TurnRecord]) -> Sequence[str]:
    """Add what each turn used, and their sum, to its row. Return the header; nothing if nothing is known."""
    from agent_kernel.kernel.costs.compute import HEADER, NO_CALL, sum_of

    used = sum_of(record.compute for record in records)
    if used is None:
        return ()
    for row, compute in zip(rows, [*(record.compute for record in records), used], strict=True):
        row += compute.cells() if compute is not None else NO_CALL
    return HEADER


def _own(records: Sequence[TurnRecord]) -> list[str]:
    """Return a sentence about what the user's own commands used, if that is known."""
    from agent_kernel.kernel.costs.compute import sum_of

    used = sum_of(record.compute for record in records)
    if used is None:
        return []
    if used.cpu_seconds is None:
        return ["The processor time of your own commands was not measured."]
    return [f"Your own commands used {used.cpu_seconds:.2f} s of processor time."]


def _filled(record: TurnRecord) -> str:
    """Return how full the context window was at the end of a turn, as a sentence; empty if it is unknown."""
    if record.context is None:
        return ""
    tokens, window = record.context
    return f"The context window is {tokens / window:.0%} full: {tokens:,} of {window:,} tokens."


def _money(amount: float | None) -> str:
    return "" if amount is None else f"{amount:.4f}"


async def replay(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show the outputs of a cell's turns again."""
    from agent_kernel.kernel.notebook import INCLUDE
    from agent_kernel.kernel.provenance.turn import TurnItems

    for record in notebook.ledger.of_cell(arguments.removeprefix("[").removesuffix("]")):
        displayed: set[bytes | str] = set()
        items = TurnItems(record.asked, record.again, linked=notebook.provenance)
        for response_id in record.response_ids:
            try:
                response = await (await notebook.runtime()).retrieve(response_id, include=INCLUDE)
            except NotFound as error:
                raise InvalidRequest(
                    f"Cell [{record.cell}]: the runtime has no stored response.", hint="Run the cell again."
                ) from error
            displayed |= _show(response, items, outputs)
        await _show_files(notebook, record, outputs, displayed)


def _show(response: Response, items: TurnItems, outputs: CellOutputs) -> set[bytes | str]:
    """Show a response. Return the pictures that its code displayed."""
    from agent_kernel.kernel.render.bundles import note, notice
    from agent_kernel.kernel.render.code.display import pictures_seen
    from agent_kernel.kernel.render.endings import turn_ending

    displayed: set[bytes | str] = set()
    for item in response.output:
        plain = item if isinstance(item, Mapping) else item.to_dict(mode="json", warnings=False)
        displayed |= pictures_seen(plain)
        for bundle in items.render(plain):
            outputs.emit(bundle)
    if response.status == "failed" and response.error is not None:
        outputs.emit(notice(f"The turn failed: {response.error.message}"))
    elif response.status in ("incomplete", "cancelled", "in_progress"):
        details = response.incomplete_details
        reason = str(details.reason) if details and details.reason else str(response.status)
        outputs.emit(note(turn_ending(reason)))
    return displayed


async def _show_files(
    notebook: Notebook, record: TurnRecord, outputs: CellOutputs, displayed: set[bytes | str]
) -> None:
    from agent_kernel.kernel.render.bundles import note
    from agent_kernel.kernel.render.files.artifacts import snapshot
    from agent_kernel.kernel.render.files.gallery import GalleryLimits, show_files

    if not record.paths or record.container_id is None:
        return
    runtime = await notebook.runtime()
    try:
        there = (await snapshot(runtime.containers.files, record.container_id)).files
    except AgentKernelError:
        outputs.emit(note("Its files were deleted with their container."))
        return
    still = [there[path] for path in record.paths if path in there]
    limits = GalleryLimits(notebook.settings.max_inline, notebook.settings.max_inline_files)
    async for bundle in show_files(runtime, still, limits, count=len(still), displayed=displayed):
        outputs.emit(bundle)
