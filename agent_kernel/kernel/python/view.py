"""The view of a `%%python` cell: what an ordinary Python cell shows, and nothing else.

Outputs are sent while the code runs, as the runtime passes them on. In the end its item has all of them. If
something was left out on the way, the item's outputs take the place of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent_kernel.kernel.python.messages import Json, folded, message, not_run, remaining
from agent_kernel.kernel.render.code.display import pictures_seen
from agent_kernel.kernel.render.code.outputs import outputs_of, without_interrupt
from agent_kernel.kernel.replies import CellRaised
from agent_kernel.kernel.turn_view import TurnView

if TYPE_CHECKING:
    from openai.types.responses import Response

    from agent_kernel.kernel.outputs import CellOutputs, Message
    from agent_kernel.kernel.provenance.turn import TurnItems

CALL = "code_interpreter_call"
PRINTED = "agent_kernel.code_interpreter_call.printed"
DISPLAYED = "agent_kernel.code_interpreter_call.displayed"


class PythonView(TurnView):
    """Shows the turn of a `%%python` cell."""

    def __init__(self, outputs: CellOutputs, items: TurnItems) -> None:
        super().__init__(outputs, items)
        self._cell = outputs
        self._shown: list[Json] = []

    def _take(self, event: Any) -> None:
        if event.type == PRINTED:
            name = getattr(event, "name", "stdout")
            self._show({"output_type": "stream", "name": name, "text": event.delta})
        elif event.type == DISPLAYED:
            self._show(event.output)
        super()._take(event)

    def _so_far(self) -> list[Json]:
        """Return the outputs that were sent. The cell's reply tells of an interrupt."""
        return without_interrupt(folded(self._shown))

    def _show(self, output: Json) -> None:
        """Show an output now. An exception is shown at the end, with the cell's reply."""
        self._shown.append(output)
        if output.get("output_type") != "error" and (made := message(output, self._cell.number)):
            self._cell.preview(*made)

    def _item(self, index: int, item: Json) -> None:
        if item.get("type") != CALL or index in self._emitted:
            super()._item(index, item)
            return
        self._emitted.add(index)
        self._progress.forget(index)
        self.ran_tools = True
        self.displayed |= pictures_seen(item)
        final = outputs_of(item)
        self._final(final, self._so_far())
        if self.raised is None and item.get("status") == "failed":
            self.raised = CellRaised(not_run(final))

    def _final(self, final: Sequence[Json], shown: Sequence[Json]) -> None:
        """Show the final outputs. The last exception is left to the cell's reply."""
        last = next((each for each in reversed(final) if each.get("output_type") == "error"), None)
        rest = remaining(final, shown)
        self._cell.settle(self._messages(final, last), None if rest is None else self._messages(rest, last))
        if last is not None and (made := message(last, self._cell.number)) is not None:
            self.raised = CellRaised(made[1])

    def _messages(self, outputs: Sequence[Json], without: Json | None) -> list[Message]:
        made = [message(each, self._cell.number) for each in outputs if each is not without]
        return [each for each in made if each is not None]

    def settle(self, response: Response | None) -> None:
        """Show what an interrupted cell has shown, also if the runtime did not store it."""
        if response is None:
            shown = self._so_far()
            self._final(shown, shown)
        else:
            super().settle(response)
