/** The variables of one notebook's session: what `%vars` lists, and what `%get` shows of one. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { list, reason, text, texts } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element, readable } from "../dom";

const ROWS = 20;

export class VariablesView {
  readonly node = element("div", "jp-agent-variables-view");

  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _trans: TranslationBundle,
  ) {
    this._said = element("p", "jp-agent-words", this.node);
    this._said.setAttribute("role", "status");
    this._list = element("div", "jp-agent-scroll", this.node);
    this._shown = element("section", "jp-agent-scroll", this.node);
    this._shown.setAttribute("aria-live", "polite");
  }

  /** Draws it. The session is asked once after each cell, and never while one runs. */
  draw(): void {
    const { state } = this._notebook;
    if (!state) this._said.textContent = this._trans.__("The kernel is not connected.");
    if (!state || state.cell) {
      this._asked = null;
      if (state)
        this._said.textContent = this._trans.__("A cell is running. The variables follow when it ends.");
      this.node.classList.add("jp-agent-stale");
      return;
    }
    const cell = `${state.container.id ?? ""} ${state.newest}`;
    if (this._asked === cell) return;
    this._asked = cell;
    void this._refresh();
  }

  private async _refresh(): Promise<void> {
    try {
      const found = await this._notebook.ask("variables");
      this.node.classList.remove("jp-agent-stale");
      const rows = list(found["rows"]).map(texts);
      const none = this._trans.__(
        "There is no Python session yet. The agent begins one when it runs Python.",
      );
      const empty = this._trans.__("The Python session has no variables.");
      const also = text(found["also"]);
      const rest = also ? this._trans.__("Not listed: %1.", also) : rows.length === 0 ? empty : "";
      this._said.textContent = found["session"] === true ? rest : none;
      this._draw(rows);
      if (!rows.some(([name]) => name === this._open)) this._close();
      else if (this._open) await this._look(this._open);
    } catch (error) {
      this._said.textContent = reason(error);
    }
  }

  private _draw(rows: readonly string[][]): void {
    this._list.replaceChildren();
    if (rows.length === 0) return;
    const table = element("table", "jp-agent-table", this._list);
    const head = element("tr", "", element("thead", "", table));
    const titles = [this._trans.__("Name"), this._trans.__("Type"), this._trans.__("Shape")];
    for (const title of [...titles, this._trans.__("Memory"), this._trans.__("Value")]) {
      element("th", "", head, title).scope = "col";
    }
    const body = element("tbody", "", table);
    for (const [name = "", ...others] of rows) {
      const row = element("tr", "", body);
      const open = button(
        readable(name),
        element("td", "", row),
        () => void this._look(name),
        "jp-agent-link",
      );
      open.title = this._trans.__("Show its first rows");
      for (const each of others) element("td", "", row, readable(each)).title = readable(each);
    }
  }

  private async _look(name: string): Promise<void> {
    this._open = name;
    try {
      const found = await this._notebook.ask("table", { name, rows: ROWS });
      if (this._open !== name) return;
      this._close();
      this._open = name;
      const about = `${name} (${text(found["type"])}): ${text(found["shape"])}`;
      this._head(about);
      this._table(list(found["columns"]).map(texts), list(found["rows"]).map(texts));
    } catch (error) {
      this._close();
      this._head(name);
      element("p", "jp-agent-words", this._shown, readable(reason(error)));
    }
  }

  private _head(title: string): void {
    const head = element("div", "jp-agent-variable", this._shown);
    element("h3", "jp-agent-form-title", head, readable(title));
    button("✕", head, () => this._close()).setAttribute("aria-label", this._trans.__("Close"));
  }

  private _table(columns: readonly string[][], rows: readonly string[][]): void {
    const table = element("table", "jp-agent-table", this._shown);
    const head = element("tr", "", element("thead", "", table));
    for (const [name = "", words = ""] of columns) {
      const cell = element("th", "", head, readable(name));
      cell.scope = "col";
      element("div", "jp-agent-help", cell, readable(words));
    }
    const body = element("tbody", "", table);
    for (const row of rows) {
      const line = element("tr", "", body);
      for (const each of row) element("td", "", line, readable(each));
    }
  }

  private _close(): void {
    this._open = "";
    this._shown.replaceChildren();
  }

  private readonly _said: HTMLElement;
  private readonly _list: HTMLElement;
  private readonly _shown: HTMLElement;
  private _asked: string | null = null;
  private _open = "";
}
