/** One line of the files panel: a file or a folder, and what can be done with it. */

import { PathExt } from "@jupyterlab/coreutils";
import type { TranslationBundle } from "@jupyterlab/translation";
import {
  deleteIcon,
  downloadIcon,
  editIcon,
  fileIcon,
  folderIcon,
  type LabIcon,
  textEditorIcon,
} from "@jupyterlab/ui-components";

import { button, element, readable } from "../dom";
import type { Entry } from "./read";

/** What the person may ask of a line. */
export interface RowActions {
  open(entry: Entry): void;
  openText(entry: Entry): void;
  mention(entry: Entry): void;
  download(entry: Entry): void;
  rename(entry: Entry): Promise<void>;
  remove(entry: Entry): Promise<void>;
}

/** Draws a line. `whole` shows the path and not only the name. */
export function row(
  entry: Entry,
  whole: boolean,
  actions: RowActions,
  trans: TranslationBundle,
): HTMLElement {
  const node = element("li", "jp-agent-file");
  const name = readable(whole ? entry.path : PathExt.basename(entry.path));
  const open = button("", node, () => actions.open(entry), "jp-agent-file-open");
  (entry.files === null ? fileIcon : folderIcon).element({
    container: element("span", "", open),
    tag: "span",
  });
  element("span", "jp-agent-file-name", open, name);
  if (entry.changed) element("span", "jp-agent-file-changed", open, trans.__("changed"));
  open.title = described(entry, trans);
  const details = element("span", "jp-agent-file-details", node);
  details.textContent =
    entry.files === null ? size(entry.bytes) : trans._n("%1 file", "%1 files", entry.files);
  const tools = element("span", "jp-agent-file-tools", node);
  const add = (label: string, icon: LabIcon, act: () => void) => {
    const made = button("", tools, act, "jp-agent-file-tool");
    made.title = label;
    made.setAttribute("aria-label", `${label}: ${name}`);
    icon.element({ container: made });
  };
  const mention = button("@", tools, () => actions.mention(entry), "jp-agent-file-tool");
  mention.title = trans.__("Mention in the cell");
  mention.setAttribute("aria-label", `${mention.title}: ${name}`);
  if (entry.files === null) {
    add(trans.__("Open as text"), textEditorIcon, () => actions.openText(entry));
    add(trans.__("Download"), downloadIcon, () => actions.download(entry));
    add(trans.__("Rename"), editIcon, () => void actions.rename(entry));
  }
  add(trans.__("Delete"), deleteIcon, () => void actions.remove(entry));
  node.addEventListener("keydown", (event) => {
    const act = { F2: actions.rename.bind(actions), Delete: actions.remove.bind(actions) }[event.key];
    if (!act || event.target !== open) return;
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
  const lines = [...list.querySelectorAll<HTMLButtonElement>(".jp-agent-file-open")];
  const at = lines.findIndex((each) => each.parentElement?.contains(event.target as Element));
  lines[at + step]?.focus();
  event.preventDefault();
}
