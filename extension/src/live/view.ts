/** The view of a running turn: a line about what it does, its items, an open question, and the controls. */

import { ApprovalCard, type Translates } from "../approval/card";
import type { Arguments } from "../connection/messages";
import { element } from "../dom";
import { duration } from "../status/words";
import { button, committing, steering } from "./controls";
import { type DesktopLink, DesktopView } from "./desktop";
import { Items } from "./items";
import type { Model } from "./messages";
import type { Store } from "./store";
import { readable, setText } from "./text";

const HINT =
  "This page was opened while the turn was running, so the notebook does not have its outputs. This view comes " +
  "from the kernel. To add the outputs to the notebook, run %replay in a new cell.";

/** The view is in English: it works where JupyterLab's translations are not. */
const PLAIN: Translates = {
  __: (text, ...given) => text.replace(/%(\d)/g, (_, number) => String(given[Number(number) - 1])),
};

const ACTIVITIES: ReadonlyMap<string, string> = new Map([
  ["shell_call", "Writing a command"],
  ["shell_call_output", "Running"],
  ["message", "Answering"],
]);

export class View {
  constructor(
    private readonly _store: Store,
    private readonly _model: Model,
    parent: HTMLElement,
  ) {
    this._root = element("section", "agent-live", parent);
    this._root.setAttribute("aria-label", "Running turn");
    this._root.dataset["lmSuppressShortcuts"] = "true"; // Enter on a focused button presses the button
    const head = element("div", "agent-live-head", this._root);
    element("span", "agent-live-dot", head).setAttribute("aria-hidden", "true");
    this._status = element("span", "agent-live-status", head);
    this._told = element("span", "agent-live-unseen", head); // for screen readers: without the seconds
    this._told.setAttribute("role", "status");
    this._stop = this._stopping(head);
    this._hint = element("div", "agent-live-hint agent-live-quiet", this._root, HINT);
    this._items = new Items(this._root);
    this._desktop = new DesktopView(_store.screen, linkTo(_store, _model), this._root);
    this._asked = element("div", "agent-live-asked", this._root);
    this._controls = element("div", "agent-live-controls", this._root);
    steering(_store, _model, this._controls);
  }

  draw(): void {
    const { ended, question, tokens, items, seconds } = this._store;
    const count = tokens[0] + tokens[1];
    const used = count > 0 ? [`${count.toLocaleString("en")} tokens`] : [];
    const activity = doing(this._store);
    setText(this._status, [activity, duration(seconds), ...used].join(" · "));
    setText(this._told, activity);
    this._stop.hidden = ended;
    this._controls.hidden = ended || question !== null; // the question comes first
    this._hint.hidden = !ended;
    this._root.classList.toggle("agent-live-ended", ended);
    this._items.draw(items, seconds, question);
    this._desktop.draw();
    this._ask();
  }

  private _stopping(head: HTMLElement): HTMLButtonElement {
    const end = async (): Promise<void> => {
      if (!(await commit({ type: "stop" }, [stop]))) return;
      stop.disabled = true;
      setText(said, "Stopping …");
    };
    const stop = button("Stop", head, () => void end(), "agent-live-stop agent-live-danger");
    stop.title = "Stop this turn and keep its work";
    const [said, commit] = committing(this._store, this._model, head);
    return stop;
  }

  private _ask(): void {
    const { question } = this._store;
    const id = question?.id ?? null;
    if (id === this._shown) return; // nothing changes under the user's hands
    this._shown = id;
    this._asked.replaceChildren();
    if (!question) return;
    const card = new ApprovalCard(question, (answer) => this._decide(answer), PLAIN, "agent-live-question");
    this._asked.append(card.node);
  }

  private async _decide(answer: Arguments): Promise<void> {
    const why = await this._store.act(this._model, { type: "decide", ...answer });
    if (why !== null) throw new Error(why);
  }

  private readonly _root: HTMLElement;
  private readonly _status: HTMLElement;
  private readonly _told: HTMLElement;
  private readonly _stop: HTMLButtonElement;
  private readonly _hint: HTMLElement;
  private readonly _items: Items;
  private readonly _desktop: DesktopView;
  private readonly _asked: HTMLElement;
  private readonly _controls: HTMLElement;
  private _shown: string | null = null;
}

function linkTo(store: Store, model: Model): DesktopLink {
  return {
    act: (action) => store.act(model, action),
    hands: (events) => model.send({ type: "hands", events }),
    look: () => model.send({ type: "look" }),
  };
}

function doing(store: Store): string {
  if (store.ended) return "Ended";
  if (store.screen.state.taken === "you") return "Waiting for you to hand back";
  if (store.question) return "Waiting for you";
  if (store.step) return readable(store.step);
  const open =
    [...store.items.values()].filter((item) => !item.done && item.kind !== "said").at(-1)?.kind ?? "";
  return ACTIVITIES.get(open) ?? (/_call(_output)?$/.test(open) ? "Using a tool" : "Thinking");
}
