/** The history of one notebook: its branches, and the tree of its cells, with buttons to go back. */

import { Dialog, InputDialog, showDialog } from "@jupyterlab/apputils";
import type { TranslationBundle } from "@jupyterlab/translation";
import type { Widget } from "@lumino/widgets";

import { type Arguments, type Fields, reason, type State, texts } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { button, element, prose, readable } from "../dom";
import { AskingView } from "../panel";
import { ChangesSince } from "./changes";
import { BranchComparison } from "./comparison";
import { type Branch, readBranches, readCells, type TreeCell } from "./read";
import { cellName, filesOf, time } from "./words";

export class HistoryView extends AskingView {
  /** `open` shows a tab. */
  constructor(
    notebook: AgentNotebook,
    trans: TranslationBundle,
    private readonly _open: (tab: Widget) => void,
  ) {
    super(notebook, trans, "jp-agent-history");
    this._told = element("div", "jp-agent-history-told", this.node);
    this._told.setAttribute("role", "status");
    this._branches = element("section", "", this.node);
    this._cells = element("section", "", this.node);
  }

  /** Nothing moves while a cell runs. */
  protected look(state: State): string {
    this._running = state.cell !== null;
    this._enable();
    if (state.newest !== this._newest) this._told.replaceChildren(); // it was about a moment before
    this._newest = state.newest;
    return JSON.stringify([state.newest, state.container.id, this._running, state.branches]);
  }

  protected async refresh(): Promise<void> {
    this._draw(await this.notebook.ask("history"));
  }

  private _draw(found: Fields): void {
    const [cells, branches] = [readCells(found), readBranches(found)];
    const none = this.trans.__("No cell has asked or run anything yet.");
    const running = this.trans.__("A cell is running. You can go back when it has ended.");
    this.said.textContent = cells.length === 0 ? none : this._running ? running : "";
    const focused = this._buttons.find((each) => each === document.activeElement);
    this._drawBranches(cells.length > 0 ? branches : []);
    this._drawCells(cells);
    this._enable();
    if (!focused) return;
    const again = this._buttons.find((each) => spoken(each) === spoken(focused));
    (again ?? this._buttons[0])?.focus();
  }

  private _drawBranches(branches: readonly Branch[]): void {
    this._branches.replaceChildren();
    if (branches.length === 0) return;
    const here = branches.find((each) => each.inUse)?.name ?? "";
    element("h3", "jp-agent-form-title", this._branches, this.trans.__("Branches"));
    const rows = element("ul", "jp-agent-history-list", this._branches);
    for (const branch of branches) this._branch(branch, here, rows);
  }

  private _branch(branch: Branch, here: string, parent: HTMLElement): void {
    const { trans } = this;
    const { name, inUse, obstacle } = branch;
    const shown = readable(name);
    const row = element("li", "jp-agent-history-branch", parent);
    element("span", "jp-agent-history-name", row, shown);
    const cells = trans._n("%1 cell", "%1 cells", branch.cells);
    const state = inUse ? trans.__("in use") : obstacle ? trans.__("cannot be opened: %1", obstacle) : "";
    element("span", "jp-agent-help", row, [cells, readable(state)].filter(Boolean).join(" · "));
    const tools = element("div", "jp-agent-row", row);
    if (!inUse) {
      const open = () => void this._move("switch", { name });
      const compare = button(trans.__("Compare"), tools, () => this._compare(here, name));
      compare.setAttribute("aria-label", trans.__("Compare %1 with the branch in use", shown));
      this._action(trans.__("Open"), trans.__("Open branch %1", shown), tools, open, obstacle);
    }
    const rename = () => void this._rename(name);
    this._action(trans.__("Rename …"), trans.__("Rename branch %1", shown), tools, rename);
    const remove = () => void this._remove(name);
    if (!inUse) this._action(trans.__("Delete …"), trans.__("Delete branch %1", shown), tools, remove);
  }

  private _drawCells(cells: readonly TreeCell[]): void {
    this._cells.replaceChildren();
    if (cells.length === 0) return;
    element("h3", "jp-agent-form-title", this._cells, this.trans.__("Cells, oldest first"));
    const rows = element("ol", "jp-agent-history-list", this._cells);
    for (const each of cells) this._cell(each, rows);
  }

  private _cell(cell: TreeCell, parent: HTMLElement): void {
    const { trans } = this;
    const row = element(
      "li",
      `jp-agent-history-cell ${cell.here ? "" : "jp-agent-elsewhere"}`.trim(),
      parent,
    );
    element("span", "jp-agent-history-lanes", row, cell.drawn).setAttribute("aria-hidden", "true");
    const about = element("div", "jp-agent-history-about", row);
    cellName(cell, `[${cell.number}] ${cell.words}`, this.notebook, this._open, about, trans);
    const parts = [
      time(cell.began),
      filesOf(cell, trans),
      cell.tokens > 0 ? trans.__("%1 tokens", cell.tokens.toLocaleString("en")) : "",
      cell.tips.length > 0 ? trans.__("end of %1", cell.tips.join(", ")) : "",
      cell.here ? "" : trans.__("not on this branch"),
      cell.obstacle ? trans.__("no way back: %1", readable(cell.obstacle)) : "",
    ];
    element("div", "jp-agent-help", about, parts.filter(Boolean).join(" · "));
    const label = trans.__("Go back to before cell [%1]", cell.number);
    const back = () => void this._move("rewind", { cell: `${cell.number}` });
    const tools = element("div", "jp-agent-history-tools", row);
    this._action(trans.__("Go back"), label, tools, back, cell.obstacle).title = label;
    const since = trans.__("Changes since before cell [%1]", cell.number);
    const changes = () => {
      const shown = new ChangesSince(this.notebook, cell.number, trans);
      this._open(shown);
      void shown.load();
    };
    this._action(trans.__("Changes"), since, tools, changes, cell.obstacle).title = since;
  }

  /** A button that is disabled while a cell runs, and for good where something stands in its way. */
  private _action(
    text: string,
    label: string,
    parent: HTMLElement,
    act: () => void,
    obstacle = "",
  ): HTMLButtonElement {
    const made = button(text, parent, act);
    made.setAttribute("aria-label", label);
    made.dataset["moves"] = obstacle ? "never" : "idle";
    return made;
  }

  private _enable(): void {
    for (const each of this._buttons) {
      const { moves } = each.dataset;
      each.disabled = moves === "never" || (moves === "idle" && this._running);
    }
  }

  private _compare(one: string, other: string): void {
    const comparison = new BranchComparison(this.notebook, one, other, this._open, this.trans);
    this._open(comparison);
    void comparison.load();
  }

  private async _rename(name: string): Promise<void> {
    const asked = await InputDialog.getText({
      title: this.trans.__("Rename branch %1", readable(name)),
      label: this.trans.__("New name"),
      text: name,
      okLabel: this.trans.__("Rename"),
    });
    const to = asked.button.accept ? asked.value?.trim() : "";
    if (to && to !== name) await this._move("rename_branch", { name, to });
  }

  private async _remove(name: string): Promise<void> {
    const asked = await showDialog({
      title: this.trans.__("Delete branch %1?", readable(name)),
      body: this.trans.__("The work of the cells that only it has is deleted. The notebook stays as it is."),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: this.trans.__("Delete") })],
    });
    if (asked.button.accept) await this._move("delete_branch", { name });
  }

  /** Sends a request that changes the tree, one at a time, and says what the kernel says. */
  private async _move(request: string, given: Arguments): Promise<void> {
    if (this._moving) return;
    this._moving = true;
    this._told.replaceChildren(this.trans.__("One moment …"));
    try {
      const found = await this.notebook.ask(request, given);
      this._told.replaceChildren();
      for (const line of texts(found["said"])) prose(line, element("p", "jp-agent-words", this._told));
      this._draw(found);
    } catch (error) {
      this._told.replaceChildren();
      prose(reason(error), element("p", "jp-agent-words", this._told));
    } finally {
      this._moving = false;
    }
  }

  private get _buttons(): HTMLButtonElement[] {
    return [...this.node.querySelectorAll("button")];
  }

  private readonly _told: HTMLElement;
  private readonly _branches: HTMLElement;
  private readonly _cells: HTMLElement;
  private _newest = 0;
  private _running = false;
  private _moving = false;
}

/** What a screen reader says of a button; no two of them are the same. */
function spoken(button: HTMLButtonElement): string {
  return button.getAttribute("aria-label") ?? button.textContent;
}
