/** Puts a new cell below another one, ready to be read and run. */

import type { Cell } from "@jupyterlab/cells";
import type { Notebook } from "@jupyterlab/notebook";

export function insertBelow(notebook: Notebook, cell: Cell, source: string): void {
  const index = notebook.widgets.indexOf(cell);
  if (index < 0 || !notebook.model) return;
  notebook.model.sharedModel.insertCell(index + 1, { cell_type: "code", source, metadata: {} });
  notebook.activeCellIndex = index + 1;
  notebook.deselectAll();
  notebook.mode = "edit";
}
