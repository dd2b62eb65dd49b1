/** Connects to the kernel of each open notebook; every other plugin of this extension builds on it. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { Token } from "@lumino/coreutils";
import { type ISignal, Signal } from "@lumino/signaling";

import { AgentNotebook } from "./notebook";

/** The open notebooks. Those of other kernels are among them: `isOurs` is false. */
export interface IAgentNotebooks {
  /** All open notebooks, in the order in which they were opened. */
  readonly all: readonly AgentNotebook[];
  /** The notebook that has the focus, or had it last. */
  readonly current: AgentNotebook | null;
  /** Emitted when a notebook was opened or closed, when another has the focus, and when one has changed. */
  readonly changed: ISignal<IAgentNotebooks, void>;
  /** Calls back with each notebook, those open now and those opened later. */
  each(use: (notebook: AgentNotebook) => void): void;
  /** The notebook of a panel. */
  of(panel: NotebookPanel): AgentNotebook;
}

/** The language of our kernels, as Jupyter knows them before they answer. */
export const LANGUAGE = "agent";

export const IAgentNotebooks = new Token<IAgentNotebooks>(
  "jupyter-agent-kernel:IAgentNotebooks",
  "The open notebooks, and the connections to their kernels.",
);

class AgentNotebooks implements IAgentNotebooks {
  constructor(private readonly _tracker: INotebookTracker) {
    _tracker.forEach((panel) => this.of(panel));
    _tracker.widgetAdded.connect((_, panel) => this.of(panel));
    _tracker.currentChanged.connect(() => {
      this._changed.emit();
    });
    window.addEventListener("pagehide", () => this.all.forEach((each) => each.leave()));
  }

  get all(): readonly AgentNotebook[] {
    return [...this._known.values()];
  }

  get current(): AgentNotebook | null {
    const panel = this._tracker.currentWidget;
    // A panel that is closed is current until the tracker hears of it: it must not be known again.
    return panel && !panel.isDisposed ? this.of(panel) : null;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  each(use: (notebook: AgentNotebook) => void): void {
    this._users.push(use);
    this.all.forEach(use);
  }

  of(panel: NotebookPanel): AgentNotebook {
    const known = this._known.get(panel);
    if (known) return known;
    const made = new AgentNotebook(panel);
    this._known.set(panel, made);
    made.changed.connect(() => {
      this._changed.emit();
    });
    panel.disposed.connect(() => {
      this._known.delete(panel);
      this._changed.emit();
    });
    for (const use of this._users) use(made);
    return made;
  }

  private readonly _known = new Map<NotebookPanel, AgentNotebook>();
  private readonly _users: ((notebook: AgentNotebook) => void)[] = [];
  private readonly _changed = new Signal<this, void>(this);
}

export const notebooks: JupyterFrontEndPlugin<IAgentNotebooks> = {
  id: "jupyter-agent-kernel:notebooks",
  description: "Connects to the kernels of Agent notebooks.",
  autoStart: true,
  requires: [INotebookTracker],
  provides: IAgentNotebooks,
  activate: (_app, tracker: INotebookTracker) => new AgentNotebooks(tracker),
};
