/** Files that are dropped on a cell, pasted into it or chosen: they go to the container, and are mentioned. */

import { CodeCell } from "@jupyterlab/cells";
import { PathExt } from "@jupyterlab/coreutils";
import type { TranslationBundle } from "@jupyterlab/translation";
import { Drag } from "@lumino/dragdrop";

import type { AgentNotebook } from "../connection/notebook";
import { button, element } from "../dom";
import { kindOf } from "../prompt/kinds";
import { inserted, mentioned } from "./mention";
import { upload } from "./upload";

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
    const files = [...data.files];
    if (event.type === "paste" && files.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.type === "dragover") data.dropEffect = "copy";
    else void this.send(cell, files);
  }

  /** Sends files to the container one after another, and mentions each in the cell. */
  async send(cell: CodeCell, files: readonly File[]): Promise<void> {
    for (const file of files) await this._send(cell, file);
  }

  private async _send(cell: CodeCell, file: File): Promise<void> {
    const line = element("div", "jp-agent-upload");
    (cell.inputArea?.node.parentElement ?? cell.node).after(line); // below what is typed, above the outputs
    line.setAttribute("role", "status");
    const shown = element("span", "", line, this._trans.__("Uploading %1 …", file.name));
    const bar = element("progress", "", line);
    bar.setAttribute("aria-label", this._trans.__("Upload of %1", file.name));
    bar.max = 1;
    bar.value = 0;
    try {
      const { connection } = this._notebook;
      if (!connection) throw new Error(this._trans.__("The kernel is not connected."));
      const arrived = await upload(connection, file.name, file, (part) => {
        bar.value = part;
      });
      if (!cell.isDisposed) mention(cell, arrived.path);
      line.remove();
    } catch (error) {
      bar.remove();
      line.classList.add("jp-agent-bad");
      const why = error instanceof Error ? error.message : String(error);
      shown.textContent = this._trans.__("%1 was not uploaded: %2", file.name, why);
      button(this._trans.__("Close"), line, () => line.remove());
    }
  }

  /** A file of JupyterLab's file browser lies beside the notebook already: it is only mentioned. */
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

/** Puts a file's name into a cell, where the cursor is: in a prompt as a mention. */
export function mention(cell: CodeCell, path: string): void {
  const { sharedModel } = cell.model;
  const source = sharedModel.getSource();
  const word = kindOf(source) === "prompt" ? mentioned(path) : path;
  const { editor } = cell;
  const at = editor?.hasFocus() ? editor.getOffsetAt(editor.getCursorPosition()) : source.length;
  const put = inserted(source, at, word);
  sharedModel.setSource(put.source);
  if (!editor) return;
  editor.focus();
  const position = editor.getPositionAt(put.end);
  if (position) editor.setCursorPosition(position);
}
