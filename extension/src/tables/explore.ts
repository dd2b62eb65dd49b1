/** The buttons of a table: explore it in place of the static one, copy it as CSV, load its whole file. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { text } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element } from "../dom";
import { copyButton } from "../record/copy";
import type { Output } from "../record/outputs";
import { csv } from "./model";
import { tableOf } from "./read";
import { TableView } from "./view";
import { wholeTable } from "./whole";

const EXPLORED = "jp-agent-explored";

export class Explorer {
  /** Adds the buttons for an output with a table to `bar`; `node` takes the table that can be explored. */
  constructor(
    bar: HTMLElement,
    private readonly _node: HTMLElement,
    private readonly _output: Output,
    private readonly _notebook: AgentNotebook,
    private readonly _trans: TranslationBundle,
  ) {
    this._button = button("", bar, () => {
      this._toggle();
    });
    copyButton(_trans.__("Copy as CSV"), bar, () => this._csv(), _trans);
    this._show(null);
  }

  private _toggle(): void {
    const table = this._view ? null : tableOf(this._output);
    this._view?.node.parentElement?.remove();
    this._show(table && new TableView(table, this._trans));
  }

  private _show(view: TableView | null): void {
    this._view = view;
    this._node.classList.toggle(EXPLORED, view !== null);
    this._button.textContent = view
      ? this._trans.__("Show the original table")
      : this._trans.__("Explore the table");
    this._button.setAttribute("aria-expanded", `${view !== null}`);
    if (!view) return;
    element("div", "jp-agent-below", this._node).append(view.node);
    const path = text(this._output.about["path"]);
    if (path && this._notebook.connection) view.offer(() => this._load(view, path));
  }

  /** Shows the whole file, of which the record has only the first rows. */
  private async _load(view: TableView, path: string): Promise<void> {
    const { connection } = this._notebook;
    if (!connection) return;
    const found = await wholeTable(connection, { path });
    const lacking = found.count > found.rows.length || !found.whole;
    view.show(found, lacking ? this._trans.__("The file has more rows than these.") : "");
  }

  private _csv(): string {
    const table = tableOf(this._output);
    return this._view?.csv ?? (table ? csv(table.names, table.rows) : "");
  }

  private readonly _button: HTMLButtonElement;
  private _view: TableView | null = null;
}
