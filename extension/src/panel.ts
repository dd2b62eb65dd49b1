/** A side panel about the current notebook: one view per notebook, drawn while the panel is seen. */

import type { ILayoutRestorer, JupyterFrontEnd } from "@jupyterlab/application";
import { Widget } from "@lumino/widgets";

import type { AgentNotebook } from "./connection/notebook";
import type { IAgentNotebooks } from "./connection/plugin";
import { element } from "./dom";

export interface NotebookView {
  readonly node: HTMLElement;
  draw(): void;
}

export class NotebookPanelWidget extends Widget {
  /** `none` is said when the current notebook is not ours. */
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

  private readonly _where: HTMLElement;
  private readonly _none: HTMLElement;
  private readonly _place: HTMLElement;
  private readonly _views = new WeakMap<AgentNotebook, NotebookView>();
}

/** Adds a panel at the right side, and a command that shows it. */
export function addPanel(
  app: JupyterFrontEnd,
  panel: Widget,
  { command, label, rank }: { command: string; label: string; rank: number },
  restorer: ILayoutRestorer | null,
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
}
