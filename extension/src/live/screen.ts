/** The screen of a desktop: what it shows, drawn piece by piece, and what the user does with it. */

import type { Piece, ScreenState, UserEvent } from "./messages";

const IDLE: ScreenState = {
  open: false,
  running: false,
  taken: "",
  caption: "",
  at: null,
  why: "",
};

/** The newest picture of the screen, and who has the desktop. Several views can show one. */
export class Screen {
  readonly canvas = document.createElement("canvas");
  readonly listeners = new Set<() => void>();
  state: ScreenState = IDLE;
  /** Whether there is a picture to show. */
  drawn = false;

  constructor(private readonly _seen: (frame: number) => void) {}

  takeState(state: ScreenState | undefined): void {
    this.state = state ?? IDLE;
    if (!this.state.running) this.drawn = false;
    this.notify();
  }

  /** Draws a piece after those before it, and says that a frame was seen once all of it is drawn. */
  takePiece(piece: Piece, png: BufferSource): void {
    const blob = new Blob([png], { type: "image/png" });
    const next = this._queue.then(async () => {
      try {
        this._draw(piece, await createImageBitmap(blob));
      } finally {
        if (piece.last) this._seen(piece.frame);
      }
    });
    this._queue = next.catch(() => undefined); // a picture that cannot be read leaves what was there
  }

  notify(): void {
    for (const listener of this.listeners) listener();
  }

  private _draw({ top, width, height, last }: Piece, rows: ImageBitmap): void {
    if (this.canvas.width !== width || this.canvas.height !== height)
      Object.assign(this.canvas, { width, height });
    this.canvas.getContext("2d")?.drawImage(rows, 0, top);
    rows.close();
    if (!last) return;
    this.drawn = true;
    this.notify();
  }

  private _queue: Promise<void> = Promise.resolve();
}

const WHEEL_LINE = 40; // pixels of a line, where the wheel counts lines
const BUTTONS = [1, 2, 3, 8, 9]; // of X, by those of the page
const MODIFIERS = new Set(["Shift", "Control", "Alt", "Meta"]);
const MOST_TYPED = 1000; // characters of one event
const LEFT_OUT = new Set(["AltGraph", "Dead", "Process", "Unidentified", "CapsLock", "NumLock"]);

/**
 * What the user does on a canvas, sent once a frame. An unseen field takes the keys, so that dead keys and input
 * methods work. Nothing of the clipboard of this machine is read: what is pasted was copied inside.
 */
export class Hands {
  constructor(
    private readonly _canvas: HTMLCanvasElement,
    private readonly _field: HTMLTextAreaElement,
    private readonly _send: (events: UserEvent[]) => void,
    private readonly _active: () => boolean,
  ) {
    this._mouse();
    _field.addEventListener("keydown", (event) => this._key(event, true));
    _field.addEventListener("keyup", (event) => this._key(event, false));
    _field.addEventListener("blur", () => this._letGo());
    _field.addEventListener("input", (event) => {
      if (!(event as InputEvent).isComposing) this._typed();
    });
    _field.addEventListener("compositionend", () => this._typed());
    for (const kind of ["paste", "drop", "copy", "cut"]) {
      _field.addEventListener(kind, (event) => event.preventDefault());
    }
  }

  private _mouse(): void {
    const canvas = this._canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this._active()) return;
      this._field.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this._button("press", event);
    });
    canvas.addEventListener("mousedown", (event) => {
      if (this._active()) event.preventDefault(); // or the field would lose the focus
    });
    canvas.addEventListener("pointerup", (event) => this._button("release", event));
    canvas.addEventListener("pointermove", (event) => this._add({ type: "move", ...this._place(event) }));
    canvas.addEventListener("contextmenu", (event) => {
      if (this._active()) event.preventDefault();
    });
    const wheel = (event: WheelEvent) => {
      if (!this._active()) return;
      event.preventDefault();
      const unit = event.deltaMode === 0 ? 1 : WHEEL_LINE;
      const [right, down] = [event.deltaX, event.deltaY].map((by) => bounded(by * unit));
      this._add({ type: "wheel", ...this._place(event), right: right ?? 0, down: down ?? 0 });
    };
    canvas.addEventListener("wheel", wheel, { passive: false });
  }

  private _button(type: "press" | "release", event: PointerEvent): void {
    const button = BUTTONS[event.button];
    if (button === undefined || !this._active()) return;
    event.preventDefault();
    this._add({ type, ...this._place(event), button });
  }

  private _key(event: KeyboardEvent, down: boolean): void {
    const { key } = event;
    event.stopPropagation(); // no shortcuts of the page
    if (!this._active() || event.isComposing || LEFT_OUT.has(key)) return;
    const isText = Array.from(key).length === 1;
    const isChord = (event.ctrlKey || event.altKey || event.metaKey) && !event.getModifierState("AltGraph");
    if (isText && !isChord) return; // the field gets it
    event.preventDefault();
    const name = isText ? key.toLowerCase() : key;
    if (down) this._held.add(name);
    else this._held.delete(name);
    this._add({ type: down ? "down" : "up", key: name });
    if (!down && MODIFIERS.has(key)) this._letGo(); // some systems tell of no key that goes up beside these
  }

  private _typed(): void {
    const text = this._field.value.slice(0, MOST_TYPED);
    this._field.value = "";
    if (text) this._add({ type: "text", text });
  }

  private _letGo(): void {
    for (const key of this._held) this._add({ type: "up", key });
    this._held.clear();
  }

  private _place({ clientX, clientY }: MouseEvent): { x: number; y: number } {
    const { left, top, width, height } = this._canvas.getBoundingClientRect();
    const at = (value: number, size: number, of: number) =>
      Math.max(0, Math.min(of - 1, Math.floor((value * of) / Math.max(1, size))));
    return {
      x: at(clientX - left, width, this._canvas.width),
      y: at(clientY - top, height, this._canvas.height),
    };
  }

  private _add(event: UserEvent): void {
    if (!this._active()) return;
    const last = this._events.at(-1);
    if (event.type === "move" && last?.type === "move") this._events.pop();
    this._events.push(event);
    this._frame ||= requestAnimationFrame(() => {
      this._frame = 0;
      const events = this._events.splice(0);
      if (events.length > 0) this._send(events);
    });
  }

  private readonly _held = new Set<string>();
  private readonly _events: UserEvent[] = [];
  private _frame = 0;
}

function bounded(value: number): number {
  return Math.max(-4000, Math.min(4000, Math.round(value)));
}
