/** What the files panel does with files: open, download, give another name, remove, upload. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import { Dialog, InputDialog, showDialog } from "@jupyterlab/apputils";
import { CodeCell } from "@jupyterlab/cells";
import { PathExt } from "@jupyterlab/coreutils";
import type { TranslationBundle } from "@jupyterlab/translation";

import type { Connection } from "../connection/connection";
import type { AgentNotebook } from "../connection/notebook";
import { readable } from "../dom";
import { mention } from "./drop";
import { reasonOf, TransferLine } from "./line";
import { FileMenu } from "./menu";
import type { FilesPanel, PanelWork } from "./panel";
import { type Entry, read } from "./read";
import { send } from "./send";
import { viewerOf } from "./viewers";

const MOST_DOWNLOADED = 2 ** 30;

/** Shows a file of a notebook's container in one of JupyterLab's viewers. */
export type OpenInViewer = (notebook: AgentNotebook, path: string, factory: string, name: string) => void;

export class FilesWork implements PanelWork {
  constructor(
    private readonly _open: OpenInViewer,
    readonly terminal: () => void,
    commands: JupyterFrontEnd["commands"],
    private readonly _trans: TranslationBundle,
  ) {
    this._menu = new FileMenu(commands, this, _trans);
  }

  /** Set before anything is asked of it. */
  panel!: FilesPanel;

  menu(entry: Entry, from: HTMLElement): void {
    this._menu.open(entry, from);
  }

  open(entry: Entry): void {
    if (entry.files === null) this._show(entry, false);
    else this.panel.enter(entry.path);
  }

  openText(entry: Entry): void {
    this._show(entry, true);
  }

  mention(entry: Entry): void {
    const cell = this.panel.notebook?.panel.content.activeCell;
    if (cell instanceof CodeCell) mention(cell, entry.files === null ? entry.path : `${entry.path}/`);
  }

  download(entry: Entry): void {
    const { notebook } = this.panel;
    const name = PathExt.basename(entry.path);
    const line = this._line(notebook, this._trans.__("Downloading %1 …", name));
    const work = async () => {
      const large = this._trans.__("It is larger than 1 GiB. Use %download in a cell.");
      const { parts } = await read(this._connection(notebook), entry.path, MOST_DOWNLOADED, large, line);
      save(new Blob(parts, { type: "application/octet-stream" }), name);
    };
    void line.carry(work, (why) => this._trans.__("%1 was not downloaded: %2", name, why));
  }

  async rename(entry: Entry): Promise<void> {
    const { notebook } = this.panel;
    const asked = await InputDialog.getText({
      title: this._trans.__("Rename %1", readable(PathExt.basename(entry.path))),
      label: this._trans.__("New path below /mnt/data"),
      text: entry.path,
      okLabel: this._trans.__("Rename"),
    });
    const to = asked.button.accept ? asked.value?.trim() : "";
    if (to && to !== entry.path) await this._change(notebook, "rename", { path: entry.path, to });
  }

  async remove(entry: Entry): Promise<void> {
    const { notebook } = this.panel;
    const name = readable(entry.path);
    const body =
      entry.files === null
        ? this._trans.__("%1 will be deleted from the container.", name)
        : this._trans._n(
            "%2 and the file in it will be deleted from the container.",
            "%2 and the %1 files in it will be deleted from the container.",
            entry.files,
            name,
          );
    const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: this._trans.__("Delete") })];
    const asked = await showDialog({ title: this._trans.__("Delete?"), body, buttons });
    if (asked.button.accept) await this._change(notebook, "delete", { path: entry.path });
  }

  upload(
    notebook: AgentNotebook,
    folder: string,
    files: readonly File[],
    folders: readonly FileSystemDirectoryEntry[],
  ): void {
    const place = (line: HTMLElement) => this.panel.transfersOf(notebook).append(line);
    void send({ notebook, folder, place }, files, folders, this._trans);
  }

  choose(notebook: AgentNotebook, folder: string): void {
    choose((files) => this.upload(notebook, folder, files, []));
  }

  private _show(entry: Entry, asText: boolean): void {
    const { notebook } = this.panel;
    if (!notebook) return;
    const { path, viewer } = viewerOf(entry.path, asText);
    if (entry.bytes > viewer.most) {
      const why = this._trans.__("%1 is too large to show. Download it instead.", readable(entry.path));
      this._fail(notebook, why);
      return;
    }
    this._open(notebook, path, viewer.factory, PathExt.basename(entry.path));
  }

  /** Changes something in the container. The state that the kernel pushes then says that it has changed. */
  private async _change(
    notebook: AgentNotebook | null,
    request: string,
    given: { path: string; to?: string },
  ): Promise<void> {
    try {
      await this._connection(notebook).request(request, given);
    } catch (error) {
      this._fail(notebook, reasonOf(error));
      await this.panel.refresh();
    }
  }

  private _fail(notebook: AgentNotebook | null, why: string): void {
    void this._line(notebook, "").carry(
      () => Promise.reject(new Error(why)),
      () => why,
    );
  }

  private _line(notebook: AgentNotebook | null, text: string): TransferLine {
    const line = new TransferLine(text, this._trans);
    if (notebook) this.panel.transfersOf(notebook).append(line.node);
    return line;
  }

  private _connection(notebook: AgentNotebook | null): Connection {
    const connection = notebook?.connection;
    if (!connection) throw new Error(this._trans.__("The kernel is not connected."));
    return connection;
  }

  private readonly _menu: FileMenu;
}

/** Lets the person choose files. */
export function choose(use: (files: File[]) => void): void {
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  input.addEventListener("change", () => use([...(input.files ?? [])]));
  input.click();
}

function save(bytes: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(bytes);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
