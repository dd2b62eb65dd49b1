/** Dresses the cells of one notebook while its kernel is one of ours. */

import { CodeCell } from "@jupyterlab/cells";
import { PathExt } from "@jupyterlab/coreutils";
import type { Contents } from "@jupyterlab/services";
import type { TranslationBundle } from "@jupyterlab/translation";

import type { AgentNotebook } from "../connection/notebook";
import { CellDress } from "./cell";
import { example } from "./examples";
import { switched } from "./kinds";

const OURS = "jp-AgentNotebook";

export class PromptCells {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _contents: Contents.IManager,
    private readonly _trans: TranslationBundle,
  ) {
    const { content } = _notebook.panel;
    this._hint = example([], _trans);
    _notebook.changed.connect(this._dress, this);
    content.modelContentChanged.connect(this._dress, this);
    void _notebook.panel.revealed.then(() => {
      this._dress();
    });
  }

  private _dress(): void {
    const { content, isDisposed } = this._notebook.panel;
    if (isDisposed) return;
    const ours = this._notebook.isOurs;
    if (ours !== this._ours) {
      this._ours = ours;
      content.node.classList.toggle(OURS, ours);
      if (ours) void this._look();
    }
    for (const cell of content.widgets) {
      if (!(cell instanceof CodeCell)) continue;
      const known = this._known.get(cell);
      if (ours && !known) this._add(cell);
      if (!ours && known) {
        known.remove();
        this._known.delete(cell);
      }
    }
  }

  private _add(cell: CodeCell): void {
    const dress = new CellDress(cell, this._trans, () => {
      switchKind(cell);
    });
    this._known.set(cell, dress);
    cell.disposed.connect(() => {
      this._known.delete(cell);
    });
    void dress.put(this._hint);
  }

  /** Looks for files beside the notebook that a first question could be about. */
  private async _look(): Promise<void> {
    const folder = PathExt.dirname(this._notebook.panel.context.path);
    const found = await this._contents.get(folder, { content: true }).catch(() => null);
    const entries = (found?.content ?? []) as Contents.IModel[];
    const files = entries.filter((each) => each.type === "file").map((each) => each.name);
    this._hint = example(files.sort(), this._trans);
    for (const dress of this._known.values()) void dress.put(this._hint);
  }

  private readonly _known = new Map<CodeCell, CellDress>();
  private _hint: string;
  private _ours = false;
}

/** Makes a prompt cell a Python cell, a Python cell a shell cell, and a shell cell a prompt. */
export function switchKind(cell: CodeCell): void {
  const { sharedModel } = cell.model;
  sharedModel.setSource(switched(sharedModel.getSource()));
}
