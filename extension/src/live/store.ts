/** A view's copy of the turn: what the kernel has sent, and the user's actions that wait for an answer. */

import type { Action, Message, Model, Outline, Question, State, Update } from "./messages";
import { Screen } from "./screen";

const WINDOW = 20000; // characters kept of one text, as on the kernel's side
const PATIENCE = 8000; // milliseconds to wait for the kernel's answer to an action
const LATE = "The kernel has not answered. Check that this page is connected to it, and try again.";

/** A growing text. `start` and `end` are positions in code points; `made` counts how often it began again. */
export interface Part {
  start: number;
  end: number;
  text: string;
  total: number;
  made: number;
}

export interface Item extends Outline {
  readonly parts: Map<string, Part>;
  pictures: readonly string[];
}

export class Store {
  readonly items = new Map<number, Item>();
  readonly listeners = new Set<() => void>();
  tokens: State["tokens"] = [0, 0];
  question: Question | null = null;
  readonly screen = new Screen((frame) => this.seen(frame));
  /** Says that a frame of the screen was shown. */
  seen: (frame: number) => void = () => undefined;
  /** What is being done before the model is asked. */
  step = "";
  ended = false;

  /** Seconds since the view was opened, or that it was open. */
  get seconds(): number {
    return this.ended ? this._seconds : Math.max(0, (Date.now() - this._startedAt) / 1000);
  }

  /** Takes the whole state, which has everything except what was dropped to keep it small. */
  takeState(state: State | undefined): void {
    if (!state) return;
    this._startedAt = Date.now() - 1000 * state.elapsed;
    this._seconds = state.elapsed;
    this.ended = state.ended;
    this.tokens = state.tokens;
    this.question = state.question;
    this.step = state.step;
    this.screen.takeState(state.screen);
    for (const outline of state.items) {
      const { parts } = this._takeItem(outline);
      for (const [name, end, text] of outline.parts) {
        const known = parts.get(name);
        // The room for all texts was used up: the messages that follow have what is missing here.
        const dropped = known && end - text.length > known.end && text.length < known.text.length;
        if (!dropped) takeText(parts, name, end, text);
      }
    }
    const first = state.items[0];
    if (first) this._dropBefore(first.index);
    this._notify();
  }

  takeMessage(message: Message): void {
    if ("answered" in message) {
      this._waiting.get(message.answered)?.(message.why);
      return;
    }
    if ("pictures" in message) {
      const item = this.items.get(message.pictures[0]);
      if (item) item.pictures = message.pictures[1];
    } else if ("step" in message) this.step = message.step;
    else if ("items" in message) this._takeUpdate(message);
    this._notify();
  }

  /** Sends an action to the kernel. Resolves to null when it is done, or to the reason why it failed. */
  act(model: Model, action: Action): Promise<string | null> {
    this._asked += 1;
    const id = `${Date.now()}.${this._asked}`; // other pages send requests too
    const answer = new Promise<string | null>((resolve) => {
      setTimeout(() => resolve(LATE), PATIENCE);
      this._waiting.set(id, resolve);
      try {
        model.send({ ...action, id });
      } catch (error) {
        resolve(`The request could not be sent: ${String(error)}`);
      }
    });
    return answer.finally(() => this._waiting.delete(id));
  }

  private _takeUpdate({ tokens, items, deltas, first }: Update): void {
    this.tokens = tokens;
    for (const outline of items) this._takeItem(outline);
    for (const [index, name, end, text] of deltas) {
      const item = this.items.get(index);
      if (item) takeText(item.parts, name, end, text); // otherwise the next state has it
    }
    this._dropBefore(first);
  }

  private _takeItem({ index, kind, name, call, done, at }: Outline): Item {
    const { parts, pictures } = this.items.get(index) ?? { parts: new Map<string, Part>(), pictures: [] };
    const item = { index, kind, name, call, done, at, parts, pictures };
    this.items.set(index, item);
    return item;
  }

  private _dropBefore(first: number): void {
    for (const index of this.items.keys()) if (index < first) this.items.delete(index);
  }

  private _notify(): void {
    for (const listener of this.listeners) listener();
  }

  private readonly _waiting = new Map<string, (why: string | null) => void>();
  private _startedAt = Date.now();
  private _seconds = 0;
  private _asked = 0;
}

/**
 * Takes the characters of a text that end at position `end`. Positions count code points, as Python does. Known
 * characters are skipped; after a gap the text begins again with what is given, until a state fills the gap.
 */
function takeText(parts: Map<string, Part>, name: string, end: number, text: string): void {
  const part = parts.get(name) ?? { start: 0, end: 0, text: "", total: 0, made: 0 };
  parts.set(name, part);
  const characters = Array.from(text);
  const start = end - characters.length;
  if (start < part.start && part.start <= end && part.total < WINDOW) {
    restart(part, start, characters.slice(0, part.start - start).join("") + part.text);
  }
  if (end <= part.end) return;
  if (start > part.end) restart(part, start, "");
  const added = start < part.end ? characters.slice(part.end - start).join("") : text;
  part.text = (part.text + added).slice(-WINDOW);
  part.total += added.length;
  part.end = end;
}

/** `start` is the position of the first character since the last gap. */
function restart(part: Part, start: number, text: string): void {
  Object.assign(part, { start, text, total: text.length, made: part.made + 1 });
}

/** The texts whose names are the prefix and a number. */
export function partsOf(item: Item, prefix: string): string[] {
  return [...item.parts].filter(([name]) => name.startsWith(`${prefix}.`)).map(([, part]) => part.text);
}
