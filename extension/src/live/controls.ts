/** What the user can press and write. */

import { element } from "../dom";
import type { Action, Model } from "./messages";
import type { Store } from "./store";
import { setText } from "./text";

/** Sends an action with these controls disabled; resolves to whether it was done. */
export type Commit = (action: Action, controls: Iterable<HTMLButtonElement>) => Promise<boolean>;

/** A line that says what became of an action, and the function that sends it. */
export function committing(store: Store, model: Model, parent: HTMLElement): [HTMLElement, Commit] {
  const said = element("div", "agent-live-reply", parent);
  said.setAttribute("role", "alert");
  const commit: Commit = async (action, controls) => {
    for (const control of controls) control.disabled = true;
    setText(said, "Sending …");
    const why = await store.act(model, action);
    setText(said, why ?? "");
    said.classList.toggle("agent-live-bad", why !== null);
    for (const control of controls) control.disabled = false;
    return why === null;
  };
  return [said, commit];
}

export function button(
  label: string,
  parent: HTMLElement,
  act: () => void,
  className = "",
): HTMLButtonElement {
  const made = element("button", `agent-live-button ${className}`, parent, label);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

/** Not a form, because the host page may handle the submission of forms itself. */
export function onEnter(input: HTMLInputElement, act: () => void): void {
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) act();
  });
}

/** A line for sending a message to the running turn. */
export function steering(store: Store, model: Model, parent: HTMLElement): void {
  const row = element("div", "agent-live-row", parent);
  const [, commit] = committing(store, model, parent);
  const input = element("input", "agent-live-input", row);
  input.placeholder = "Send a message to the running turn";
  input.setAttribute("aria-label", input.placeholder);
  const say = async (): Promise<void> => {
    const text = input.value.trim();
    if (!text || send.disabled) return;
    const done = await commit({ type: "steer", text }, [send]);
    if (done && input.value.trim() === text) input.value = "";
  };
  const send = button("Send", row, () => void say());
  onEnter(input, () => void say());
}
