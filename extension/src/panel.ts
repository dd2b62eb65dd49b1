/** Side panels. Most are about the current notebook: one view per notebook, drawn while the panel is seen. */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
} from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator, type TranslationBundle } from "@jupyterlab/translation";
import type { LabIcon } from "@jupyterlab/ui-components";
import { UUID } from "@lumino/coreutils";
import { Widget } from "@lumino/widgets";

import { reason, type State } from "./connection/messages";
import type { AgentNotebook } from "./connection/notebook";
import { IAgentNotebooks } from "./connection/plugin";
import { element } from "./dom";

export interface NotebookView {
  readonly node: HTMLElement;
  draw(): void;
}

/** A view that asks the notebook's kernel again when what it shows may have changed. */
export abstract class AskingView implements NotebookView {
  readonly node: HTMLElement;

  constructor(
    protected readonly notebook: AgentNotebook,
    protected readonly trans: TranslationBundle,
    className: string,
  ) {
    this.node = element("div", className);
    this.said = element("p", "jp-agent-words", this.node);
    this.said.setAttribute("role", "status");
  }

  draw(): void {
    const { reach } = this.notebook;
    // While it connects again, what was known stays.
    const state = reach === "connected" || reach === "connecting" ? this.notebook.state : null;
    if (!state) this.said.textContent = this.trans.__("The kernel is not connected.");
    const seen = state && this.look(state);
    if (seen === this._seen) return;
    this._seen = seen;
    if (seen !== null) void this._refresh();
  }

  /** Says what the state means for this view. The kernel is asked when the answer changes, not while it is null. */
  protected abstract look(state: State): string | null;

  /** Asks the kernel, and shows what it answers. What it rejects with is shown. */
  protected abstract refresh(): Promise<void>;

  private async _refresh(): Promise<void> {
    this._again = true;
    if (this._refreshing) return;
    this._refreshing = true;
    while (this._again) {
      this._again = false;
      try {
        await this.refresh();
      } catch (error) {
        this.said.textContent = reason(error);
      }
    }
    this._refreshing = false;
  }

  protected readonly said: HTMLElement;
  private _seen: string | null = null;
  private _refreshing = false;
  private _again = false;
}

/** A panel about the current notebook, and the words for it. */
export interface NotebookPanel {
  /** The plugin's name; also that of its schema, and of the panel's element. */
  readonly name: string;
  readonly description: string;
  readonly command: string;
  readonly rank: number;
  readonly icon: LabIcon;
  /** `none` is said when the current notebook is not ours. */
  words(trans: TranslationBundle): { title: string; caption: string; label: string; none: string };
  /** `open` shows a widget in a tab below the notebook, and in Notebook 7 in the panel beside it. */
  view(notebook: AgentNotebook, trans: TranslationBundle, open: (widget: Widget) => void): NotebookView;
}

/** The plugin of a panel at the right side, with a command that shows it. */
export function notebookPanel(given: NotebookPanel): JupyterFrontEndPlugin<void> {
  return {
    id: `jupyter-agent-kernel:${given.name}`,
    description: given.description,
    autoStart: true,
    requires: [IAgentNotebooks],
    optional: [ITranslator, ILayoutRestorer, ICommandPalette, ILabShell],
    activate: (
      app,
      notebooks: IAgentNotebooks,
      translator: ITranslator | null,
      restorer: ILayoutRestorer | null,
      palette: ICommandPalette | null,
      lab: ILabShell | null,
    ) => {
      const trans = (translator ?? nullTranslator).load("agent_kernel");
      const { title, caption, label, none } = given.words(trans);
      const open = (widget: Widget) => {
        widget.id ||= `jp-agent-opened-${UUID.uuid4()}`;
        if (!widget.isAttached) app.shell.add(widget, lab ? "main" : "right", { mode: "split-bottom" });
        app.shell.activateById(widget.id);
      };
      const make = (notebook: AgentNotebook) => given.view(notebook, trans, open);
      const panel = new NotebookPanelWidget(notebooks, title, none, make);
      panel.id = `jp-agent-${given.name}`;
      panel.title.icon = given.icon;
      panel.title.caption = caption;
      const { command, rank } = given;
      addPanel(app, panel, { command, label, rank, category: category(trans) }, restorer, palette);
    },
  };
}

class NotebookPanelWidget extends Widget {
  constructor(
    private readonly _notebooks: IAgentNotebooks,
    title: string,
    none: string,
    private readonly _make: (notebook: AgentNotebook) => NotebookView,
  ) {
    super();
    this.addClass("jp-agent-panel");
    element("h2", "jp-agent-panel-title", this.node, title);
    this._where = element("p", "jp-agent-words", this.node);
    this._none = element("p", "jp-agent-words", this.node, none);
    this._place = element("div", "", this.node);
    _notebooks.changed.connect(this.draw, this);
  }

  draw(): void {
    if (!this.isVisible) return;
    const { current } = this._notebooks;
    const notebook = current?.isOurs === true ? current : null;
    this._none.hidden = notebook !== null;
    this._where.textContent = notebook?.name ?? "";
    if (!notebook) {
      this._place.replaceChildren();
      return;
    }
    const view = this._views.get(notebook) ?? this._make(notebook);
    this._views.set(notebook, view);
    if (view.node.parentElement !== this._place) this._place.replaceChildren(view.node);
    view.draw();
  }

  protected override onAfterShow(): void {
    this.draw();
  }

  protected override onAfterAttach(): void {
    this.draw();
  }

  protected override onActivateRequest(): void {
    focusFirst(this.node);
  }

  private readonly _where: HTMLElement;
  private readonly _none: HTMLElement;
  private readonly _place: HTMLElement;
  private readonly _views = new WeakMap<AgentNotebook, NotebookView>();
}

/** Where the command palette lists our commands. */
export function category(trans: TranslationBundle): string {
  return trans.__("Agent Notebooks");
}

/** Gives the focus to the panel, so that Tab goes on to its first control. */
export function focusFirst(node: HTMLElement): void {
  node.tabIndex = -1;
  node.focus();
}

/** Adds a panel at the right side, and a command that shows it. */
export function addPanel(
  app: JupyterFrontEnd,
  panel: Widget,
  { command, label, rank, category }: { command: string; label: string; rank: number; category: string },
  restorer: ILayoutRestorer | null,
  palette: ICommandPalette | null,
): void {
  app.shell.add(panel, "right", { rank, type: "Agent" });
  restorer?.add(panel, panel.id);
  app.commands.addCommand(command, {
    label,
    execute: () => {
      app.shell.activateById(panel.id);
    },
    describedBy: { args: { type: "object", properties: {} } },
  });
  palette?.addItem({ command, category });
}
