/**
 * The item in a notebook's toolbar: model, container, the running cell, use, and Stop.
 *
 * Its width is always the same. JupyterLab moves items that become too wide into a menu, and leaves them there.
 */

import type { TranslationBundle } from "@jupyterlab/translation";
import { Widget } from "@lumino/widgets";
import type { Message } from "@lumino/messaging";

import type { AgentNotebook } from "../connection/notebook";
import { element } from "../dom";
import { doing, model, sandbox, used } from "./words";

export class ToolbarStatus extends Widget {
  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _trans: TranslationBundle,
  ) {
    super();
    this.addClass("jp-agent-status");
    const about = element("div", "jp-agent-status-about", this.node);
    this._about = element("div", "jp-agent-status-line", about);
    this._used = element("div", "jp-agent-status-line", about);
    this._doing = element("button", "jp-agent-status-doing", this.node);
    this._doing.type = "button";
    this._doing.title = _trans.__("Show the running cell");
    this._doing.addEventListener("click", () => {
      void _notebook.show(_notebook.state?.cell?.id ?? null);
    });
    this._stop = element("button", "jp-agent-button jp-agent-stop", this.node, _trans.__("Stop"));
    this._stop.type = "button";
    this._stop.title = _trans.__("Stop the running cell and keep its work");
    this._stop.addEventListener("click", () => {
      stop(_notebook);
    });
    _notebook.changed.connect(this._draw, this);
    this._draw();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._clock = setInterval(() => {
      if (this._notebook.state?.cell) this._draw();
    }, 1000);
  }

  protected override onBeforeDetach(message: Message): void {
    super.onBeforeDetach(message);
    clearInterval(this._clock);
  }

  private _draw(): void {
    if (this.isDisposed) return;
    const { state, connection } = this._notebook;
    this.setHidden(!this._notebook.isOurs);
    if (!state) {
      this._about.textContent = this._trans.__("Connecting …");
      this._used.textContent = this._doing.textContent = "";
      this._stop.style.visibility = "hidden";
      return;
    }
    this._about.textContent = `${model(state, this._trans)} · ${sandbox(state, this._trans)}`;
    this._about.title = state.model ?? "";
    this._used.textContent = used(state, this._trans);
    const place = this._notebook.place(state.cell?.id ?? null);
    this._doing.textContent = doing(state, place, connection?.age ?? 0, this._trans);
    this._doing.disabled = !state.cell;
    this._stop.style.visibility = state.cell ? "visible" : "hidden";
    this.node.classList.toggle("jp-agent-running", state.cell !== null);
    this.node.classList.toggle("jp-agent-waiting", state.questions.length > 0);
  }

  private readonly _about: HTMLDivElement;
  private readonly _used: HTMLDivElement;
  private readonly _doing: HTMLButtonElement;
  private readonly _stop: HTMLButtonElement;
  private _clock: ReturnType<typeof setInterval> | undefined;
}

/** Stops the notebook's running cell. A connection that is lost meanwhile is shown by the state. */
export function stop(notebook: AgentNotebook): void {
  notebook.connection?.request("stop").catch(() => undefined);
}
