/** The record of one cell: its work folded, and buttons on each output. */

import type { CodeCell } from "@jupyterlab/cells";
import type { TranslationBundle } from "@jupyterlab/translation";

import type { Citation } from "../citations/chosen";
import type { AgentNotebook } from "../connection/notebook";
import { Fold } from "./fold";
import { outputsOf } from "./outputs";
import { Tools } from "./tools";

export class CellRecord {
  constructor(
    private readonly _cell: CodeCell,
    notebook: AgentNotebook,
    trans: TranslationBundle,
    shown: boolean,
    cite: (citations: readonly Citation[], at: number) => void,
  ) {
    this._fold = new Fold(_cell, trans, shown);
    this._tools = new Tools(notebook, _cell, trans, cite);
    const { outputArea } = _cell;
    outputArea.model.changed.connect(this._draw, this);
    outputArea.outputLengthChanged.connect(this._draw, this);
    this._draw();
  }

  /** Shows the work, or folds it. */
  show(shown: boolean): void {
    this._fold.show(shown);
  }

  remove(): void {
    if (this._cell.isDisposed) return;
    const { outputArea } = this._cell;
    outputArea.model.changed.disconnect(this._draw, this);
    outputArea.outputLengthChanged.disconnect(this._draw, this);
    this._fold.remove();
    this._tools.remove();
  }

  private _draw(): void {
    if (this._cell.isDisposed) return;
    const outputs = outputsOf(this._cell.outputArea.model);
    this._fold.draw(outputs);
    this._tools.draw(outputs ?? []);
  }

  private readonly _fold: Fold;
  private readonly _tools: Tools;
}
