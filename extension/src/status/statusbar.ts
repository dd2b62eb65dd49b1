/** The item in JupyterLab's status bar, about the current notebook. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import type { IAgentNotebooks } from "../connection/plugin";
import { doing, model, unreached } from "./words";

export class StatusBarItem extends Widget {
  constructor(
    private readonly _notebooks: IAgentNotebooks,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-statusbar");
    _notebooks.changed.connect(this.draw, this);
    this.draw();
  }

  /** True if the current notebook is one of ours. */
  get isActive(): boolean {
    return this._notebooks.current?.isOurs === true;
  }

  /** Draws it again: time has passed, or the state has changed. */
  draw(): void {
    const notebook = this._notebooks.current;
    const state = notebook?.state;
    if (!notebook?.isOurs) {
      this.node.textContent = "";
      return;
    }
    if (!state || notebook.reach !== "connected") {
      this.node.textContent = unreached(notebook.reach, this._trans);
      return;
    }
    const place = notebook.place(state.cell?.id ?? null);
    const now = doing(state, place, notebook.connection?.age ?? 0, this._trans);
    this.node.textContent = `${model(state, this._trans)} · ${now}`;
  }
}
