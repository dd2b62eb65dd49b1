/** Dresses the cells of one notebook while its kernel is one of ours. */

import { CodeCell } from "@jupyterlab/cells";
import { PathExt } from "@jupyterlab/coreutils";
import type { Contents } from "@jupyterlab/services";
import type { TranslationBundle } from "@jupyterlab/translation";

import { fields, list, text } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { CellDress } from "./cell";
import { examples, type NamedFile } from "./examples";
import { switched } from "./kinds";

const OURS = "jp-AgentNotebook";

export class PromptCells {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _contents: Contents.IManager,
    private readonly _trans: TranslationBundle,
  ) {
    const { content } = _notebook.panel;
    this._examples = examples([], _trans);
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
    }
    const { cell = null, newest = 0 } = this._notebook.state ?? {};
    if (ours && !cell && (newest !== this._newest || !this._looked)) {
      this._newest = newest;
      void this._look();
    }
    for (const cell of content.widgets) {
      if (!(cell instanceof CodeCell)) continue;
      const known = this._known.get(cell);
      if (ours && !known) this._add(cell);
      if (ours) this._known.get(cell)?.mark(this._notebook.state?.stale.has(cell.model.id) ?? false);
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
    void dress.put(this._examples);
  }

  /** Looks for files that a question could be about. It starts no container. */
  private async _look(): Promise<void> {
    this._looked = true;
    const { connection } = this._notebook;
    const [there, here] = await Promise.all([
      connection?.request("files").catch(() => null),
      this._contents
        .get(PathExt.dirname(this._notebook.panel.context.path), { content: true })
        .catch(() => null),
    ]);
    const inContainer = list(there?.["files"]).map((each) => text(fields(each)["path"]));
    const beside = list(here?.content).map(fields);
    const files: NamedFile[] = [
      ...inContainer.map((path) => ({ path, inContainer: true })),
      ...beside
        .filter((each) => each["type"] === "file" && !inContainer.includes(text(each["name"])))
        .map((each) => ({ path: text(each["name"]), inContainer: false }))
        .sort((one, other) => (one.path < other.path ? -1 : 1)),
    ];
    this._examples = examples(files, this._trans);
    for (const dress of this._known.values()) void dress.put(this._examples);
  }

  private readonly _known = new Map<CodeCell, CellDress>();
  private _examples: readonly string[];
  private _ours = false;
  private _looked = false;
  private _newest = 0;
}

/** Makes a prompt cell a Python cell, a Python cell a shell cell, and a shell cell a prompt. */
export function switchKind(cell: CodeCell): void {
  const { sharedModel } = cell.model;
  sharedModel.setSource(switched(sharedModel.getSource()));
}
