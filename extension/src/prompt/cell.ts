/** One cell of an Agent notebook: its badge, and what is added to its editor. */

import type { CodeCell } from "@jupyterlab/cells";
import type { CodeMirrorEditor } from "@jupyterlab/codemirror";
import type { TranslationBundle } from "@jupyterlab/translation";

import { EditorDress } from "./editor";
import { kindOf, NAMES } from "./kinds";

export class CellDress {
  constructor(
    private readonly _cell: CodeCell,
    private readonly _trans: TranslationBundle,
    next: () => void,
  ) {
    this._badge.className = "jp-agent-badge";
    this._badge.type = "button";
    this._badge.tabIndex = -1; // the key does the same, and Tab goes to the editor
    this._badge.addEventListener("click", next);
  }

  /** Shows the badge and dresses the editor; again with another hint, it changes the placeholder. */
  async put(hint: string): Promise<void> {
    this._hint = hint;
    await this._cell.ready;
    if (this._cell.isDisposed || this._hint !== hint) return;
    const view = (this._cell.editor as CodeMirrorEditor | null)?.editor;
    if (view) {
      this._editor ??= new EditorDress(view);
      this._editor.put(hint);
    }
    this._cell.inputArea?.node.prepend(this._badge);
    this._cell.model.sharedModel.changed.connect(this._name, this);
    this._name();
  }

  remove(): void {
    this._hint = null;
    if (this._cell.isDisposed) return;
    this._cell.model.sharedModel.changed.disconnect(this._name, this);
    this._editor?.remove();
    this._badge.remove();
    delete this._cell.node.dataset["agentKind"];
  }

  private _name(): void {
    const kind = kindOf(this._cell.model.sharedModel.getSource());
    if (this._cell.node.dataset["agentKind"] === kind) return;
    this._cell.node.dataset["agentKind"] = kind;
    this._badge.textContent = this._trans.__(NAMES[kind]);
    const what = this._trans.__("This cell is: %1.", this._badge.textContent);
    this._badge.title = kind === "line" ? what : `${what} ${this._trans.__("Click to switch (Alt K).")}`;
    this._badge.disabled = kind === "line";
  }

  private readonly _badge = document.createElement("button");
  private _editor: EditorDress | null = null;
  private _hint: string | null = null;
}
