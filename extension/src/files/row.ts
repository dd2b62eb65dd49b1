/** One line of the files panel: a file or a folder, and a button for what can be done with it. */

import { PathExt } from "@jupyterlab/coreutils";
import type { TranslationBundle } from "@jupyterlab/translation";
import { ellipsesIcon, fileIcon, folderIcon } from "@jupyterlab/ui-components";

import { button, element, readable } from "../dom";
import type { PanelWork } from "./panel";
import type { Entry } from "./read";

/** Draws a line. `whole` shows the path and not only the name. */
export function row(
  entry: Entry,
  whole: boolean,
  actions: Pick<PanelWork, "open" | "rename" | "remove" | "menu">,
  trans: TranslationBundle,
): HTMLElement {
  const node = element("li", "jp-agent-file");
  const name = readable(whole ? entry.path : PathExt.basename(entry.path));
  const open = button("", node, () => actions.open(entry), "jp-agent-file-open");
  (entry.files === null ? fileIcon : folderIcon).element({
    container: element("span", "jp-agent-file-icon", open),
    tag: "span",
  });
  element("span", "jp-agent-file-name", open, name);
  if (entry.changed) element("span", "jp-agent-file-changed", open, trans.__("changed"));
  open.title = described(entry, trans);
  const details = element("span", "jp-agent-file-details", node);
  details.textContent =
    entry.files === null ? size(entry.bytes) : trans._n("%1 file", "%1 files", entry.files);
  const more = button("", node, () => actions.menu(entry, more), "jp-agent-file-more");
  more.title = trans.__("More");
  more.setAttribute("aria-label", trans.__("More: %1", name));
  more.setAttribute("aria-haspopup", "menu");
  ellipsesIcon.element({ container: more });
  node.addEventListener("contextmenu", (event) => {
    event.preventDefault();
    event.stopPropagation();
    actions.menu(entry, more);
  });
  node.addEventListener("keydown", (event) => {
    const act = { F2: actions.rename.bind(actions), Delete: actions.remove.bind(actions) }[event.key];
    if (!act || event.target !== open || (event.key === "F2" && entry.files !== null)) return;
    event.preventDefault();
    void act(entry);
  });
  return node;
}

function described(entry: Entry, trans: TranslationBundle): string {
  const when = new Date(entry.modified).toLocaleString();
  return trans.__("%1\n%2, changed %3", readable(entry.path), size(entry.bytes), when);
}

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const at = Math.min(units.length, Math.floor(Math.log10(bytes) / 3)) - 1;
  return `${(bytes / 1000 ** (at + 1)).toFixed(1)} ${units[at] ?? ""}`;
}

/** Moves the focus to the next or the last line with the arrow keys. */
export function moveFocus(list: HTMLElement, event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !(event.target instanceof Element)) return;
  focusLine(list, lineOf(list, event.target) + step);
  event.preventDefault();
}

/** The place of the line that an element is in; -1 if it is in none. */
export function lineOf(list: HTMLElement, inside: Element | null): number {
  return [...list.children].findIndex((line) => line.contains(inside));
}

export function focusLine(list: HTMLElement, at: number): void {
  list.children[at]?.querySelector<HTMLElement>(".jp-agent-file-open")?.focus();
}
