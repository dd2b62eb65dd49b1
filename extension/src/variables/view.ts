/** The variables of one notebook's session: what `%vars` lists, and what `%get` shows of one. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { list, reason, type State, text, texts } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element, readable } from "../dom";
import { AskingView } from "../panel";

const ROWS = 20;

export class VariablesView extends AskingView {
  /** `openTable` shows all of a variable that is a table. */
  constructor(
    notebook: AgentNotebook,
    trans: TranslationBundle,
    private readonly _openTable: (name: string) => void,
  ) {
    super(notebook, trans, "jp-agent-variables-view");
    this._list = element("div", "", this.node);
    this._shown = element("section", "", this.node);
    this._shown.setAttribute("aria-live", "polite");
  }

  /** The session is asked once after each cell, when the notebook has gone back, and never while one runs. */
  protected look(state: State): string | null {
    if (!state.cell) return `${state.container.id ?? ""} ${state.newest} ${state.branches.join(" ")}`;
    this.said.textContent = this.trans.__("A cell is running. The variables follow when it ends.");
    this.node.classList.add("jp-agent-stale");
    return null;
  }

  protected async refresh(): Promise<void> {
    const found = await this.notebook.ask("variables");
    this.node.classList.remove("jp-agent-stale");
    const rows = list(found["rows"]).map(texts);
    const none = this.trans.__("There is no Python session yet. The agent begins one when it runs Python.");
    const empty = this.trans.__("The Python session has no variables.");
    const also = text(found["also"]);
    const rest = also ? this.trans.__("Not listed: %1.", also) : rows.length === 0 ? empty : "";
    this.said.textContent = found["session"] === true ? rest : none;
    this._draw(rows);
    if (!rows.some(([name]) => name === this._open)) this._close();
    else if (this._open) await this._look(this._open);
  }

  /** One row for each variable: a side panel is too narrow for a column for each thing that is known of it. */
  private _draw(rows: readonly string[][]): void {
    const focused = document.activeElement;
    const name = this._list.contains(focused) ? focused?.textContent : null;
    this._list.replaceChildren();
    if (rows.length === 0) return;
    const table = element("table", "jp-agent-rows", this._list);
    const head = element("tr", "", element("thead", "", table));
    element("th", "", head, this.trans.__("Name")).scope = "col";
    element("th", "", head, this.trans.__("Type, shape, memory and value")).scope = "col";
    const body = element("tbody", "", table);
    for (const row of rows) this._row(body, row);
    for (const each of body.querySelectorAll("button")) if (each.textContent === name) each.focus();
  }

  private _row(
    body: HTMLElement,
    [name = "", type = "", shape = "", memory = "", value = ""]: string[],
  ): void {
    const row = element("tr", "", body);
    const look = () => void this._look(name);
    const open = button(readable(name), element("td", "jp-agent-variable-name", row), look, "jp-agent-link");
    open.title = this.trans.__("Show the first rows of %1", readable(name));
    const about = element("td", "", row);
    const kind = element("div", "jp-agent-variable-kind", about);
    for (const each of [type, shape, memory]) if (each) element("span", "", kind, readable(each));
    element("div", "jp-agent-variable-value", about, readable(value)).title = readable(value);
  }

  private async _look(name: string): Promise<void> {
    this._open = name;
    try {
      const found = await this.notebook.ask("table", { name, rows: ROWS });
      if (this._open !== name) return;
      const about = `${name} (${text(found["type"])}): ${text(found["shape"])}`;
      this._head(name, about, true);
      this._table(list(found["columns"]).map(texts), list(found["rows"]).map(texts));
    } catch (error) {
      this._head(name, name, false);
      element("p", "jp-agent-words", this._shown, readable(reason(error)));
    }
  }

  private _head(name: string, title: string, isTable: boolean): void {
    this._shown.replaceChildren();
    const head = element("div", "jp-agent-variable", this._shown);
    element("h3", "jp-agent-form-title", head, readable(title));
    button("✕", head, () => this._close()).setAttribute("aria-label", this.trans.__("Close"));
    if (!isTable) return;
    const all = button(this.trans.__("Open the whole table"), this._shown, () => this._openTable(name));
    all.title = this.trans.__("Sort, filter and page through it in a tab");
  }

  private _table(columns: readonly string[][], rows: readonly string[][]): void {
    const scroll = element("div", "jp-agent-scroll", this._shown);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", this.trans.__("First rows"));
    const table = element("table", "jp-agent-rows jp-agent-cells", scroll);
    const head = element("tr", "", element("thead", "", table));
    for (const [name = "", words = ""] of columns) {
      const cell = element("th", "", head, readable(name));
      cell.scope = "col";
      element("div", "jp-agent-help", cell, readable(words));
    }
    const body = element("tbody", "", table);
    for (const row of rows) {
      const line = element("tr", "", body);
      for (const each of row) element("td", "", line, readable(each)).title = readable(each);
    }
  }

  private _close(): void {
    this._open = "";
    this._shown.replaceChildren();
  }

  private readonly _list: HTMLElement;
  private readonly _shown: HTMLElement;
  private _open = "";
}
