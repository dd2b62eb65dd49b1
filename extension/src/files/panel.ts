/** The files panel: what is in the container of the notebook that has the focus. */

import type { TranslationBundle } from "@jupyterlab/translation";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";

import type { AgentNotebook } from "../connection/notebook";
import type { IAgentNotebooks } from "../connection/plugin";
import { button, element, readable } from "../dom";
import { dropped } from "./entries";
import { reasonOf } from "./line";
import type { EntryActions } from "./menu";
import { type Entry, folder, type Folder } from "./read";
import { focusLine, lineOf, moveFocus, row } from "./row";

/** What the panel lets the rest of the extension do. */
export interface PanelWork extends EntryActions {
  /** Shows what can be done with a file or a folder, below an element. */
  menu(entry: Entry, from: HTMLElement): void;
  upload(notebook: AgentNotebook, path: string, files: File[], folders: FileSystemDirectoryEntry[]): void;
  choose(notebook: AgentNotebook, path: string): void;
  terminal(): void;
}

export class FilesPanel extends Widget {
  constructor(
    private readonly _notebooks: IAgentNotebooks,
    private readonly _work: PanelWork,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-files");
    const head = element("div", "jp-agent-files-head", this.node);
    element("h2", "jp-agent-files-title", head, _trans.__("Files in the container"));
    this._where = element("p", "jp-agent-words", head);
    const tools = element("div", "jp-agent-files-tools", head);
    button(_trans.__("Upload …"), tools, () => {
      if (this._notebook) _work.choose(this._notebook, this._path);
    });
    button(_trans.__("Terminal"), tools, () => _work.terminal());
    button(_trans.__("Refresh"), tools, () => void this.refresh());
    this._crumbs = element("nav", "jp-agent-files-crumbs", this.node);
    this._crumbs.setAttribute("aria-label", _trans.__("Folder"));
    const choice = element("div", "jp-agent-files-choice", this.node);
    this._named = element("input", "jp-agent-files-filter", choice);
    this._named.type = "search";
    this._named.placeholder = _trans.__("Filter");
    this._named.setAttribute("aria-label", _trans.__("Show only names that contain this text"));
    this._named.addEventListener("input", () => void this.refresh());
    const label = element("label", "", choice);
    this._changed = element("input", "", label);
    this._changed.type = "checkbox";
    label.append(_trans.__("Changed by the last cell"));
    this._changed.addEventListener("change", () => void this.refresh());
    this._transfers = element("div", "", this.node);
    this._note = element("p", "jp-agent-files-note", this.node);
    this._note.setAttribute("role", "status");
    this._list = element("ul", "jp-agent-files-list", this.node);
    this._list.setAttribute("aria-label", _trans.__("Files in the container"));
    this._list.addEventListener("keydown", (event) => moveFocus(this._list, event));
    this._more = button(_trans.__("Show more"), this.node, () => void this._load(this._entries.length));
    this._takeDrops();
    _notebooks.changed.connect(this._look, this);
    this._look();
  }

  /** Where the transfers of a notebook are shown, which is only while the panel shows its container. */
  transfersOf(notebook: AgentNotebook): HTMLElement {
    const lines = this._lines.get(notebook) ?? element("div", "jp-agent-files-transfers");
    this._lines.set(notebook, lines);
    return lines;
  }

  /** The notebook whose container is shown; null if the current one is not ours. */
  get notebook(): AgentNotebook | null {
    return this._notebook;
  }

  /** Lists the folder again. */
  refresh(): Promise<void> {
    return this._load(0);
  }

  /** Shows a folder. */
  enter(path: string): void {
    this._path = path;
    this._named.value = "";
    void this.refresh().then(() => focusLine(this._list, 0));
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    void this.refresh();
  }

  /** Follows the notebook that has the focus, its container, and what changes in there. */
  private _look(): void {
    const notebook = this._notebooks.current?.isOurs ? this._notebooks.current : null;
    const state = notebook?.state;
    const container = state?.container.id ?? null;
    if (this._notebook !== notebook || (state && this._container !== container)) {
      this._path = ""; // a folder of another container
      this._entries = [];
      this._count = 0;
      this._container = container;
    }
    if (this._notebook !== notebook) {
      this._transfers.replaceChildren(...(notebook ? [this.transfersOf(notebook)] : []));
    }
    this._notebook = notebook;
    this._where.textContent = notebook?.name ?? "";
    const connected = notebook?.connection !== null;
    const key = [notebook?.panel.id, connected, container, state?.cell === null, state?.newest, state?.files];
    if (key.join(" ") === this._seen) return;
    this._seen = key.join(" ");
    if (this.isVisible) void this.refresh();
  }

  private async _load(offset: number): Promise<void> {
    this._asked += 1;
    const asked = this._asked;
    const wanted = { changed: this._changed.checked, named: this._named.value };
    let found: Folder | null = null;
    let note = "";
    try {
      const connection = this._notebook?.connection;
      if (connection) found = await folder(connection, this._path, offset, wanted);
      else if (this._notebook) note = this._trans.__("The kernel is not connected.");
      else note = this._trans.__("No Agent notebook is open.");
    } catch (error) {
      note = reasonOf(error);
    }
    if (asked !== this._asked || this.isDisposed) return; // another folder was asked for meanwhile
    this._entries = [...(offset > 0 ? this._entries : []), ...(found?.entries ?? [])];
    this._count = found?.count ?? 0;
    if (found && !note) note = this._noteOf(found);
    this._note.textContent = readable(note);
    this._draw();
  }

  private _noteOf(found: Folder): string {
    if (!found.container) {
      return this._trans.__("No container yet. The first prompt, command or upload starts one.");
    }
    if (found.count === 0 && this._named.value) return this._trans.__("No name here contains this text.");
    if (found.count === 0 && this._changed.checked) {
      return this._trans.__("The last cell changed no files here.");
    }
    if (found.count === 0) return this._trans.__("There are no files yet.");
    return found.complete ? "" : this._trans.__("There are more files. Only the newest are listed.");
  }

  private _draw(): void {
    this._drawList();
    const rest = this._count - this._entries.length;
    this._more.hidden = rest <= 0;
    this._more.textContent = this._trans.__("Show more (%1 of %2)", this._entries.length, this._count);
    this._drawCrumbs();
  }

  /**
   * Draws the lines, unless they are the same: one may just be clicked. The line that has the focus keeps it, or
   * else the one in its place.
   */
  private _drawList(): void {
    const content = JSON.stringify([this._entries, this._changed.checked]);
    if (content === this._content) return;
    this._content = content;
    const focused = lineOf(this._list, document.activeElement);
    const path = this._drawn[focused]?.path;
    this._drawn = this._entries;
    this._list.replaceChildren(
      ...this._entries.map((each) => row(each, this._changed.checked, this._work, this._trans)),
    );
    if (focused < 0) return;
    const same = this._entries.findIndex((each) => each.path === path);
    focusLine(this._list, same >= 0 ? same : Math.min(focused, this._entries.length - 1));
  }

  private _drawCrumbs(): void {
    this._crumbs.replaceChildren();
    const parts = this._path ? this._path.split("/") : [];
    button("/mnt/data", this._crumbs, () => this.enter(""), "jp-agent-files-crumb");
    parts.forEach((part, at) => {
      const path = parts.slice(0, at + 1).join("/");
      element("span", "", this._crumbs, "/");
      button(readable(part), this._crumbs, () => this.enter(path), "jp-agent-files-crumb");
    });
  }

  private _takeDrops(): void {
    const mark = (on: boolean) => this.node.classList.toggle("jp-agent-files-over", on);
    for (const type of ["dragover", "dragleave", "drop"] as const) {
      this.node.addEventListener(type, (event) => {
        const data = event.dataTransfer;
        if (!data?.types.includes("Files") || !this._notebook) return;
        event.preventDefault();
        event.stopPropagation();
        mark(type === "dragover");
        if (type !== "drop") return;
        const { files, folders } = dropped(data);
        this._work.upload(this._notebook, this._path, files, folders);
      });
    }
  }

  private readonly _where: HTMLElement;
  private readonly _crumbs: HTMLElement;
  private readonly _named: HTMLInputElement;
  private readonly _changed: HTMLInputElement;
  private readonly _transfers: HTMLElement;
  private readonly _lines = new WeakMap<AgentNotebook, HTMLElement>();
  private readonly _note: HTMLElement;
  private readonly _list: HTMLElement;
  private readonly _more: HTMLButtonElement;
  private _notebook: AgentNotebook | null = null;
  private _container: string | null = null;
  private _path = "";
  private _seen = "";
  private _asked = 0;
  private _entries: readonly Entry[] = [];
  private _drawn: readonly Entry[] = [];
  private _content = "";
  private _count = 0;
}
