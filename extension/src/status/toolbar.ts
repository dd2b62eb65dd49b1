/**
 * The item in a notebook's toolbar: model, container, the running cell, use, and Stop.
 *
 * Its width does not depend on its text, so that the toolbar does not move. JupyterLab puts what does not fit
 * into a menu; in a narrow notebook the item is shorter. It takes its new width before the toolbar measures its
 * items: in the menu it would keep the width that it had when it was put there, and stay.
 */

import type { TranslationBundle } from "@jupyterlab/translation";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";

import type { AgentNotebook } from "../connection/notebook";
import { button, element } from "../dom";
import { doing, model, sandbox, unreached, used } from "./words";

/** Below this width of the notebook, in pixels, the item is short; from the other on there is much space. */
const NARROW = 760;
const WIDE = 960;

export class ToolbarStatus extends Widget {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _trans: TranslationBundle,
    openSettings: () => void,
  ) {
    super();
    this.addClass("jp-agent-status");
    const about = element("button", "jp-agent-status-about", this.node);
    about.type = "button";
    about.title = _trans.__("Show the settings: model, budget, network, approvals, container");
    about.addEventListener("click", openSettings);
    this._about = element("span", "jp-agent-status-line", about);
    this._used = element("span", "jp-agent-status-line", about);
    this._doing = element("button", "jp-agent-status-doing", this.node);
    this._doing.type = "button";
    this._doing.title = _trans.__("Show the running cell");
    this._doing.addEventListener("click", () => {
      void _notebook.show(_notebook.state?.cell?.id ?? null);
    });
    this._act = button("", this.node, () => {
      if (_notebook.reach === "lost") _notebook.reconnect();
      else stop(_notebook);
    });
    _notebook.changed.connect(this._draw, this);
    this._resized = new ResizeObserver(() => {
      this._fit();
    });
    this._resized.observe(_notebook.panel.node);
    this._draw();
  }

  override dispose(): void {
    this._resized.disconnect();
    super.dispose();
  }

  protected override onResize(message: Widget.ResizeMessage): void {
    super.onResize(message);
    this._fit();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._fit();
    this._clock = setInterval(() => {
      if (this._notebook.state?.cell) this._draw();
    }, 1000);
  }

  protected override onBeforeDetach(message: Message): void {
    super.onBeforeDetach(message);
    clearInterval(this._clock);
  }

  /** Takes the width that fits the notebook. */
  private _fit(): void {
    const width = this._notebook.panel.node.clientWidth;
    const narrow = width < NARROW;
    this.toggleClass("jp-agent-wide", width >= WIDE);
    if (narrow === this._narrow) return;
    this._narrow = narrow;
    this.toggleClass("jp-agent-narrow", narrow);
    this._draw();
  }

  private _draw(): void {
    if (this.isDisposed) return;
    const { state, connection } = this._notebook;
    this.setHidden(!this._notebook.isOurs);
    const { reach } = this._notebook;
    const reached = reach === "connected";
    this._drawButton(reach === "lost", reached && state?.cell != null);
    this._doing.disabled = !state?.cell;
    this.toggleClass("jp-agent-running", reached && state?.cell != null);
    this.toggleClass("jp-agent-waiting", reached && (state?.questions.length ?? 0) > 0);
    if (!state || !reached) {
      this._doing.textContent = unreached(reach, this._trans);
      return;
    }
    this._about.textContent = `${model(state, this._trans)} · ${sandbox(state, this._trans)}`;
    this._used.textContent = used(state, this._trans);
    const place = this._notebook.place(state.cell?.id ?? null);
    this._doing.textContent = doing(state, place, connection?.age ?? 0, this._trans, this._narrow);
  }

  /** The one button: it connects again if the connection is lost, and else stops the running cell. */
  private _drawButton(lost: boolean, running: boolean): void {
    const { _act, _trans } = this;
    _act.style.visibility = lost || running ? "visible" : "hidden";
    _act.textContent = lost ? _trans.__("Reconnect") : _trans.__("Stop");
    _act.title = lost
      ? _trans.__("Connect to the kernel again. It may still be running.")
      : _trans.__("Stop the running cell and keep its work");
    _act.classList.toggle("jp-agent-stop", !lost);
  }

  private readonly _about: HTMLElement;
  private readonly _used: HTMLElement;
  private readonly _resized: ResizeObserver;
  private _narrow = false;
  private readonly _doing: HTMLButtonElement;
  private readonly _act: HTMLButtonElement;
  private _clock: ReturnType<typeof setInterval> | undefined;
}

/** Stops the notebook's running cell. A connection that is lost meanwhile is shown by the state. */
export function stop(notebook: AgentNotebook): void {
  notebook.connection?.request("stop").catch(() => undefined);
}
