/** What is said of a cell that has run. */

import type { TranslationBundle } from "@jupyterlab/translation";
import type { Widget } from "@lumino/widgets";

import type { AgentNotebook } from "../connection/notebook";
import { button, element } from "../dom";
import type { Ran } from "./read";

/** The time of day at which a cell began; the day too, if that is not today. */
export function time(began: Date): string {
  const clock = began.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return began.toDateString() === new Date().toDateString()
    ? clock
    : `${began.toLocaleDateString()} ${clock}`;
}

export function filesOf(
  { files, moreFiles }: Pick<Ran, "files" | "moreFiles">,
  trans: TranslationBundle,
): string {
  const more = moreFiles > 0 ? [trans.__("%1 more", moreFiles.toLocaleString("en"))] : [];
  return [...files, ...more].join(", ");
}

/** Adds a cell's name: it leads to the cell, if the notebook still has it. `open` shows a tab. */
export function cellName(
  ran: Ran,
  label: string,
  notebook: AgentNotebook,
  open: (tab: Widget) => void,
  parent: HTMLElement,
  trans: TranslationBundle,
): void {
  if (!notebook.place(ran.cell)) {
    element("span", "", parent, label).title = trans.__("This cell is not in the notebook any more.");
    return;
  }
  const show = () => {
    open(notebook.panel);
    void notebook.show(ran.cell);
  };
  button(label, parent, show, "jp-agent-link jp-agent-history-name").title = trans.__("Show this cell");
}
