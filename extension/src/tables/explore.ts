/** The buttons of a table: explore it in place of the static one, copy it as CSV, load its whole file. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { button, element } from "../dom";
import type { Output } from "../record/outputs";
import { copyButton } from "../record/copy";
import { csv } from "./model";
import { tableOf } from "./read";
import { TableView } from "./view";

const EXPLORED = "jp-agent-explored";

/** Adds the buttons for an output with a table; `place` takes the table that can be explored. */
export function addTable(
  bar: HTMLElement,
  node: HTMLElement,
  output: Output,
  trans: TranslationBundle,
): void {
  let view: TableView | null = null;
  const made = button(trans.__("Explore the table"), bar, () => {
    const table = view ? null : tableOf(output);
    view?.node.parentElement?.remove();
    view = table && new TableView(table, trans);
    if (view) element("div", "jp-agent-below", node).append(view.node);
    node.classList.toggle(EXPLORED, view !== null);
    made.textContent = view ? trans.__("Show the table as it was") : trans.__("Explore the table");
    made.setAttribute("aria-expanded", `${view !== null}`);
  });
  made.setAttribute("aria-expanded", "false");
  const copied = () => {
    const table = tableOf(output);
    return view?.csv ?? (table ? csv(table.names, table.rows) : "");
  };
  copyButton(trans.__("Copy as CSV"), bar, copied, trans);
}
