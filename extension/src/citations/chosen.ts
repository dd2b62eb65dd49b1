/** The citations of an answer, and which of them the person has opened in each notebook. */

import { type ISignal, Signal } from "@lumino/signaling";

import type { AgentNotebook } from "../connection/notebook";

/** A passage of a document that an answer cites. `place` is where it stands, such as "page 3". */
export interface Citation {
  readonly name: string;
  readonly place: string;
  readonly file: string;
  readonly text: string;
}

export interface Chosen {
  readonly citations: readonly Citation[];
  readonly at: number;
}

class ChosenCitations {
  /** Emitted with the notebook in which another citation was opened. */
  get changed(): ISignal<this, AgentNotebook> {
    return this._changed;
  }

  of(notebook: AgentNotebook): Chosen | null {
    return this._chosen.get(notebook) ?? null;
  }

  choose(notebook: AgentNotebook, citations: readonly Citation[], at: number): void {
    this._chosen.set(notebook, { citations, at });
    this._changed.emit(notebook);
  }

  private readonly _chosen = new WeakMap<AgentNotebook, Chosen>();
  private readonly _changed = new Signal<this, AgentNotebook>(this);
}

export const chosen = new ChosenCitations();
