/** A variable of the session that is a table, in a tab: sorted, filtered, paged. */

import type { TranslationBundle } from "@jupyterlab/translation";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";

import { reason } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element } from "../dom";
import { variablesIcon } from "../icons";
import { copyButton } from "../record/copy";
import { TableView } from "../tables/view";
import { wholeTable } from "../tables/whole";

/** It shows the variable as it was when it was loaded. */
export class VariableTable extends Widget {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _name: string,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-variable-table");
    this.title.label = _name;
    this.title.caption = _trans.__("%1, a variable of %2", _name, _notebook.name);
    this.title.icon = variablesIcon;
    this.title.closable = true;
    const bar = element("div", "jp-agent-row", this.node);
    element("h2", "jp-agent-panel-title", bar, _name);
    this._again = button(_trans.__("Load again"), bar, () => void this.load());
    copyButton(_trans.__("Copy as CSV"), bar, () => this._view?.csv ?? "", _trans);
    this._said = element("p", "jp-agent-words", this.node);
    this._said.setAttribute("role", "status");
  }

  /** Loads the variable as it is now. What has failed is said, and the table stays as it was. */
  async load(): Promise<void> {
    this._again.disabled = true;
    this._said.textContent = this._trans.__("Loading …");
    try {
      const { connection } = this._notebook;
      if (!connection) throw new Error(this._trans.__("The kernel is not connected."));
      const after = connection.state?.newest ?? 0;
      const found = await wholeTable(connection, { variable: this._name });
      if (this.isDisposed) return;
      if (this._view) this._view.show(found);
      else this._view = this._shown(new TableView(found, this._trans));
      const rest = [
        found.rows.length < found.count
          ? this._trans.__("Only the first of its %1 rows are shown.", found.count.toLocaleString("en"))
          : "",
        found.names.length < found.width
          ? this._trans.__("Only the first of its %1 columns are shown.", found.width.toLocaleString("en"))
          : "",
      ];
      const when = this._trans.__("State after cell [%1] of %2.", after, this._notebook.name);
      this._said.textContent = [when, ...rest].filter(Boolean).join(" ");
    } catch (error) {
      this._said.textContent = reason(error);
    }
    this._again.disabled = false;
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this._again.focus();
  }

  private _shown(view: TableView): TableView {
    this.node.append(view.node);
    return view;
  }

  private readonly _again: HTMLButtonElement;
  private readonly _said: HTMLElement;
  private _view: TableView | null = null;
}

/** Opens the tables of a notebook's variables, each once: it is loaded again when it is asked for again. */
export function tableOpener(
  notebook: AgentNotebook,
  open: (widget: Widget) => void,
  trans: TranslationBundle,
): (name: string) => void {
  const opened = new Map<string, VariableTable>();
  return (name) => {
    const table = opened.get(name) ?? new VariableTable(notebook, name, trans);
    opened.set(name, table);
    table.disposed.connect(() => opened.delete(name));
    open(table);
    void table.load();
  };
}
