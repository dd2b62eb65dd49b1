/** The desktop below the items: a line about who has it, the screen, and the button that takes it over. */

import { element } from "../dom";
import { button } from "./controls";
import type { Message, ScreenState, UserEvent } from "./messages";
import { Hands, type Screen } from "./screen";
import { readable, setText } from "./text";

/** How a page reaches the kernel. `act` resolves to null, or to the reason why it was not done. */
export interface DesktopLink {
  act(action: { type: "take" } | { type: "hand_back" }): Promise<string | null>;
  hands(events: UserEvent[]): void;
  look(): void;
}

export class DesktopView {
  constructor(
    private readonly _screen: Screen,
    private readonly _link: DesktopLink,
    parent: HTMLElement,
  ) {
    this._node = element("section", "agent-live-desktop", parent);
    this._node.setAttribute("aria-label", "Desktop");
    const head = element("div", "agent-live-desktop-head", this._node);
    this._said = element("span", "agent-live-quiet agent-live-desktop-said", head);
    this._said.setAttribute("role", "status");
    this._button = button("Take over", head, () => void this._press(), "agent-live-take");
    this._why = element("div", "agent-live-reply", this._node);
    this._why.setAttribute("role", "alert");
    const frame = element("div", "agent-live-desktop-frame", this._node);
    this._canvas = element("canvas", "agent-live-desktop-screen", frame);
    this._canvas.setAttribute("role", "img");
    this._mark = element("div", "agent-live-desktop-mark", frame);
    this._mark.setAttribute("aria-hidden", "true");
    this._field = element("textarea", "agent-live-unseen", frame);
    this._field.setAttribute("aria-label", "Keyboard of the desktop");
    Object.assign(this._field, { autocapitalize: "off", autocomplete: "off", spellcheck: false });
    new Hands(
      this._canvas,
      this._field,
      (events) => this._link.hands(events),
      () => this._screen.state.taken === "you",
    );
    this._link.look();
  }

  draw(): void {
    const { state, drawn, canvas } = this._screen;
    this._node.hidden = !state.open && !state.why;
    const mine = state.taken === "you";
    setText(this._said, words(state));
    setText(this._button, state.taken === "you" || state.taken === "waiting" ? "Hand back" : "Take over");
    this._button.hidden = !state.open;
    this._button.disabled = this._sending;
    setText(this._why, readable(this._failed || state.why));
    this._why.classList.toggle("agent-live-bad", this._why.textContent !== "");
    this._canvas.hidden = !drawn;
    this._field.disabled = !mine;
    this._canvas.setAttribute(
      "aria-label",
      mine ? "The screen. Your mouse and keyboard act here." : "The screen",
    );
    this._node.classList.toggle("agent-live-desktop-mine", mine);
    if (drawn) this._copy(canvas);
    this._place(state, canvas);
    if (mine && !this._wasMine) this._field.focus({ preventScroll: true });
    this._wasMine = mine;
  }

  private _copy(from: HTMLCanvasElement): void {
    const { width, height } = from;
    if (this._canvas.width !== width || this._canvas.height !== height)
      Object.assign(this._canvas, { width, height });
    this._canvas.getContext("2d")?.drawImage(from, 0, 0);
  }

  /** Marks where the model acts. */
  private _place({ at, taken }: ScreenState, { width, height }: HTMLCanvasElement): void {
    this._mark.hidden = at === null || taken !== "" || !this._screen.drawn;
    if (at === null) return;
    this._mark.style.left = `${(100 * at[0]) / width}%`;
    this._mark.style.top = `${(100 * at[1]) / height}%`;
  }

  private async _press(): Promise<void> {
    const { taken } = this._screen.state;
    this._sending = true;
    this._failed = "";
    this.draw();
    const type = taken === "you" || taken === "waiting" ? "hand_back" : "take";
    this._failed = (await this._link.act({ type })) ?? "";
    this._sending = false;
    this.draw();
  }

  private readonly _node: HTMLElement;
  private readonly _said: HTMLElement;
  private readonly _button: HTMLButtonElement;
  private readonly _why: HTMLElement;
  private readonly _canvas: HTMLCanvasElement;
  private readonly _field: HTMLTextAreaElement;
  private readonly _mark: HTMLElement;
  private _sending = false;
  private _failed = "";
  private _wasMine = false;
}

/** Takes a message about the screen; whether it was one. */
export function takeScreen(screen: Screen, message: Message, buffers: readonly BufferSource[]): boolean {
  if ("screen" in message) screen.takeState(message.screen);
  else if ("piece" in message) {
    const [png] = buffers;
    if (png) screen.takePiece(message.piece, png);
  } else return false;
  return true;
}

function words({ running, taken, caption }: ScreenState): string {
  if (taken === "you") return "You have the mouse and the keyboard. The agent waits.";
  if (taken === "waiting") return "You get the mouse and the keyboard when the agent's action is done.";
  if (taken === "other") return "Taken over in another place. The agent waits.";
  if (!running) return "The desktop does not run yet.";
  return caption ? readable(caption) : "The screen";
}
