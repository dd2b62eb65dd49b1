/** What changed in the files since the moment before a cell, in a tab. */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";

import { count, fields, list, reason, text, texts } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element, readable } from "../dom";
import { historyIcon } from "../icons";

/** It shows the files as they were when it was loaded. */
export class ChangesSince extends Widget {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _cell: number,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-comparison");
    this.title.label = _trans.__("Changes since cell [%1]", _cell);
    this.title.caption = _trans.__("Files of %1", _notebook.name);
    this.title.icon = historyIcon;
    this.title.closable = true;
    const bar = element("div", "jp-agent-row", this.node);
    element("h2", "jp-agent-panel-title", bar, _trans.__("Changes since the moment before cell [%1]", _cell));
    button(_trans.__("Load again"), bar, () => void this.load());
    this._said = element("p", "jp-agent-words", this.node);
    this._said.setAttribute("role", "status");
    this._place = element("div", "", this.node);
  }

  /** Loads what has changed by now. What has failed is said, and the files stay as they were. */
  async load(): Promise<void> {
    this._said.textContent = this._trans.__("Loading …");
    try {
      const found = await this._notebook.ask("changes", { cell: `${this._cell}` });
      if (this.isDisposed) return;
      const files = list(found["files"]).map(fields);
      const all = this._trans._n("%1 file has changed.", "%1 files have changed.", count(found["count"]));
      const none = this._trans.__("Nothing has changed.");
      const notes = texts(found["notes"]).map(readable);
      this._said.textContent = [files.length > 0 ? all : none, ...notes].join(" ");
      this._place.replaceChildren();
      for (const { path, change, said, diff } of files) {
        const about = [text(change), text(said)].filter(Boolean).join(", ");
        element("h3", "jp-agent-form-title", this._place, readable(`${text(path)} (${about})`));
        if (text(diff)) element("pre", "jp-agent-comparison-prompt", this._place, readable(text(diff)));
      }
    } catch (error) {
      this._said.textContent = readable(reason(error));
    }
  }

  private readonly _said: HTMLElement;
  private readonly _place: HTMLElement;
}
