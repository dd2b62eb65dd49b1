/** What the kernel and a live view say to each other; see agent_kernel/kernel/live/live.py. */

import type { Arguments, Question } from "../connection/messages";

export type { Question };

/** An item without its texts. `at` is when its last command began, in seconds since the view was opened. */
export interface Outline {
  readonly index: number;
  readonly kind: string;
  readonly name: string;
  readonly call: string;
  readonly done: boolean;
  readonly at: number;
}

/** A text of an item: its name, its length in code points, and as much of its end as is sent. */
export type Text = readonly [name: string, end: number, text: string];

/** The state that the kernel synchronises. */
export interface State {
  readonly elapsed: number;
  readonly ended: boolean;
  readonly tokens: readonly [input: number, output: number];
  readonly step: string;
  readonly question: Question | null;
  readonly items: readonly (Outline & { readonly parts: readonly Text[] })[];
}

export type Message =
  | { readonly answered: string; readonly why: string | null }
  | { readonly pictures: readonly [index: number, urls: readonly string[]] }
  | { readonly step: string }
  | Update;

export interface Update {
  readonly first: number;
  readonly tokens: State["tokens"];
  readonly items: readonly Outline[];
  readonly deltas: readonly (readonly [index: number, ...text: Text])[];
}

/** What the user does; the kernel answers under the same `id`. */
export type Action =
  | { readonly type: "stop" }
  | { readonly type: "steer"; readonly text: string }
  | ({ readonly type: "decide" } & Arguments);

/** The part of an anywidget model that a view uses. */
export interface Model {
  get(name: "state"): State | undefined;
  on(event: "change:state", listener: () => void): void;
  on(event: "msg:custom", listener: (message: Message) => void): void;
  off(event: "change:state", listener: () => void): void;
  off(event: "msg:custom", listener: (message: Message) => void): void;
  send(message: Action & { id: string }): void;
}
