/** Files that are dropped on a cell, pasted into it or chosen: they go to the container, and are mentioned. */

import { CodeCell } from "@jupyterlab/cells";
import { PathExt } from "@jupyterlab/coreutils";
import type { TranslationBundle } from "@jupyterlab/translation";
import { Drag } from "@lumino/dragdrop";

import type { AgentNotebook } from "../connection/notebook";
import { kindOf } from "../prompt/kinds";
import { dropped } from "./entries";
import { inserted, mentioned, mentions } from "./mention";
import { send } from "./send";

const PATHS = "application/x-jupyter-icontents";
const OVER = "jp-agent-drop";

export class FileDrop {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _trans: TranslationBundle,
  ) {
    const { node } = _notebook.panel.content;
    for (const type of [
      "dragover",
      "dragleave",
      "drop",
      "paste",
      "lm-dragenter",
      "lm-dragover",
      "lm-dragleave",
      "lm-drop",
    ]) {
      node.addEventListener(type, this, true);
    }
  }

  handleEvent(event: Event): void {
    const cell = this._notebook.isOurs ? this._cellOf(event.target) : null;
    if (!cell) return;
    if (event instanceof Drag.Event) {
      this._dragged(event, cell);
      return;
    }
    const data =
      event.type === "paste" ? (event as ClipboardEvent).clipboardData : (event as DragEvent).dataTransfer;
    if (!data?.types.includes("Files")) return;
    if (event.type !== "paste") this._mark(event.type === "dragover" ? cell : null);
    if (event.type === "dragleave") return;
    const { files, folders } = dropped(data);
    if (event.type === "paste" && files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.type === "dragover") data.dropEffect = "copy";
    else void this.send(cell, files, folders);
  }

  /** Sends files and folders to the container, and mentions each in the cell. */
  send(
    cell: CodeCell,
    files: readonly File[],
    folders: readonly FileSystemDirectoryEntry[] = [],
  ): Promise<void> {
    const target = {
      notebook: this._notebook,
      folder: "",
      arrived: (path: string) => {
        if (!cell.isDisposed) mention(cell, path);
      },
      // below what is typed, above the outputs
      place: (line: HTMLElement) => (cell.inputArea?.node.parentElement ?? cell.node).after(line),
    };
    return send(target, files, folders, this._trans);
  }

  /** Files and folders of JupyterLab's file browser lie beside the notebook already: they are only mentioned. */
  private _dragged(event: Drag.Event, cell: CodeCell): void {
    if (!event.mimeData.hasData(PATHS)) return;
    event.preventDefault();
    event.stopPropagation();
    this._mark(event.type === "lm-dragleave" || event.type === "lm-drop" ? null : cell);
    event.dropAction = event.type === "lm-dragleave" ? "none" : event.proposedAction;
    if (event.type !== "lm-drop") return;
    const folder = PathExt.dirname(this._notebook.panel.context.path);
    for (const path of event.mimeData.getData(PATHS) as string[]) {
      mention(cell, PathExt.relative(folder, path));
    }
  }

  private _cellOf(target: EventTarget | null): CodeCell | null {
    const { widgets } = this._notebook.panel.content;
    const found = widgets.find((cell) => target instanceof Node && cell.node.contains(target));
    return found instanceof CodeCell ? found : null;
  }

  private _mark(cell: CodeCell | null): void {
    this._marked?.node.classList.remove(OVER);
    cell?.node.classList.add(OVER);
    this._marked = cell;
  }

  private _marked: CodeCell | null = null;
}

/** Puts a file's name into a cell, where the cursor is: in a prompt as a mention, unless it has that already. */
export function mention(cell: CodeCell, path: string): void {
  const { sharedModel } = cell.model;
  const source = sharedModel.getSource();
  const isPrompt = kindOf(source) === "prompt";
  const word = isPrompt ? mentioned(path) : path;
  const { editor } = cell;
  if (isPrompt && mentions(source, word)) {
    editor?.focus();
    return;
  }
  const at = editor?.hasFocus() ? editor.getOffsetAt(editor.getCursorPosition()) : source.length;
  const put = inserted(source, at, word);
  sharedModel.setSource(put.source);
  if (!editor) return;
  editor.focus();
  const position = editor.getPositionAt(put.end);
  if (position) editor.setCursorPosition(position);
}
