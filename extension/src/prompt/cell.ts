/** One cell of an Agent notebook: its badge, and what is added to its editor. */

import type { CodeCell } from "@jupyterlab/cells";
import type { CodeMirrorEditor } from "@jupyterlab/codemirror";
import type { TranslationBundle } from "@jupyterlab/translation";

import { EditorDress } from "./editor";
import { type Kind, kindOf, LANGUAGES, NAMES } from "./kinds";
import { row } from "./suggestions";

const STALE = "jp-agent-stale";

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

  /** Shows the badge and dresses the editor; again with other examples, it offers those. */
  async put(examples: readonly string[]): Promise<void> {
    this._examples = examples;
    await this._cell.ready;
    if (this._cell.isDisposed || this._examples !== examples) return;
    const view = (this._cell.editor as CodeMirrorEditor | null)?.editor;
    if (view) {
      this._editor ??= new EditorDress(view);
      this._editor.put(examples, this._trans);
      this._offered?.remove();
      this._offered = row(view, examples, this._trans);
      this._cell.inputArea?.parent?.node.after(this._offered);
    }
    this._cell.inputArea?.node.prepend(this._badge);
    this._cell.model.sharedModel.changed.connect(this._name, this);
    this._cell.model.mimeTypeChanged.connect(this._speak, this);
    this._name();
    this._speak();
  }

  /** Says above the outputs whether they are of a branch that is not in use. */
  mark(stale: boolean): void {
    if (this._cell.isDisposed || stale === this._cell.node.classList.contains(STALE)) return;
    this._cell.node.classList.toggle(STALE, stale);
    if (!stale) {
      this._stale.remove();
      return;
    }
    this._stale.className = "jp-agent-stale-note";
    this._stale.setAttribute("role", "note");
    this._stale.textContent = this._trans.__("From another branch. Run the cell again to have it here.");
    this._cell.inputArea?.parent?.node.after(this._stale);
  }

  remove(): void {
    this._examples = null;
    if (this._cell.isDisposed) return;
    this.mark(false);
    this._cell.model.sharedModel.changed.disconnect(this._name, this);
    this._cell.model.mimeTypeChanged.disconnect(this._speak, this);
    this._cell.model.mimeType = this._plain;
    this._editor?.remove();
    this._offered?.remove();
    this._badge.remove();
    delete this._cell.node.dataset["agentKind"];
  }

  private _name(): void {
    const source = this._cell.model.sharedModel.getSource();
    this._cell.node.classList.toggle("jp-agent-empty", source === "");
    const kind = kindOf(source);
    if (this._cell.node.dataset["agentKind"] === kind) return;
    this._cell.node.dataset["agentKind"] = kind;
    this._badge.textContent = this._trans.__(NAMES[kind]);
    const what = this._trans.__("This cell is: %1.", this._badge.textContent);
    this._badge.title = kind === "line" ? what : `${what} ${this._trans.__("Click to switch (Alt K).")}`;
    this._badge.disabled = kind === "line";
    this._speak();
  }

  /** Gives the editor the language of the cell. The notebook sets that of the kernel whenever it hears of it. */
  private _speak(): void {
    const { model, node } = this._cell;
    const own = LANGUAGES[node.dataset["agentKind"] as Kind];
    if (!Object.values(LANGUAGES).includes(model.mimeType)) this._plain = model.mimeType;
    model.mimeType = own ?? this._plain;
  }

  private readonly _badge = document.createElement("button");
  private readonly _stale = document.createElement("div");
  private _editor: EditorDress | null = null;
  private _offered: HTMLElement | null = null;
  private _examples: readonly string[] | null = null;
  private _plain = "text/markdown";
}
