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
  readonly screen?: ScreenState;
  readonly items: readonly (Outline & { readonly parts: readonly Text[] })[];
}

/** Who has the desktop, and what the agent does there; see agent_kernel/kernel/live/desktop.py. */
export interface ScreenState {
  readonly open: boolean;
  readonly running: boolean;
  readonly taken: "" | "you" | "waiting" | "other";
  readonly caption: string;
  readonly at: readonly [x: number, y: number] | null;
  readonly why: string;
}

/** Rows of the screen from `top` on. The PNG file is the message's buffer. */
export interface Piece {
  readonly frame: number;
  readonly last: boolean;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export type UserEvent =
  | { readonly type: "move"; readonly x: number; readonly y: number }
  | { readonly type: "press" | "release"; readonly x: number; readonly y: number; readonly button: number }
  | {
      readonly type: "wheel";
      readonly x: number;
      readonly y: number;
      readonly right: number;
      readonly down: number;
    }
  | { readonly type: "down" | "up"; readonly key: string }
  | { readonly type: "text"; readonly text: string };

export type Message =
  | { readonly screen: ScreenState }
  | { readonly piece: Piece }
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
  | { readonly type: "take" }
  | { readonly type: "hand_back" }
  | ({ readonly type: "decide" } & Arguments);

/** What nobody waits for an answer to. */
export type Notice =
  | { readonly type: "seen"; readonly frame: number }
  | { readonly type: "look" }
  | { readonly type: "hands"; readonly events: readonly UserEvent[] };

/** The part of an anywidget model that a view uses. */
export interface Model {
  get(name: "state"): State | undefined;
  on(event: "change:state", listener: () => void): void;
  on(
    event: "msg:custom",
    listener: (message: Message, buffers: readonly DataView<ArrayBuffer>[]) => void,
  ): void;
  off(event: "change:state", listener: () => void): void;
  off(
    event: "msg:custom",
    listener: (message: Message, buffers: readonly DataView<ArrayBuffer>[]) => void,
  ): void;
  send(message: (Action & { id: string }) | Notice): void;
}
