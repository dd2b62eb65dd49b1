/** The button that opens the live form of a chart below its picture, and closes it again. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { button, element } from "../dom";
import type { Chart } from "./charts";
import { engineOf } from "./engines";
import { chartFrame, coloursOf } from "./frame";

export class ChartView {
  readonly button: HTMLButtonElement;

  constructor(
    private readonly _chart: Chart,
    private readonly _node: HTMLElement,
    private readonly _trans: TranslationBundle,
  ) {
    this.button = button(_trans.__("Open the chart"), element("div", ""), () => void this._toggle());
    this.button.setAttribute("aria-expanded", "false");
  }

  private async _toggle(): Promise<void> {
    if (this._shown) {
      this._show(null);
      return;
    }
    const place = element("div", "jp-agent-below jp-agent-chart");
    this._show(place);
    place.textContent = this._trans.__("Loading …");
    try {
      const engine = await engineOf(this._chart);
      const frame = chartFrame(this._chart, engine, coloursOf(this._node));
      frame.title = this._trans.__("Chart");
      place.replaceChildren(frame);
    } catch {
      place.textContent = this._trans.__(
        "The program that draws charts could not be loaded. Reload the page.",
      );
    }
  }

  private _show(place: HTMLElement | null): void {
    this._shown?.remove();
    this._shown = place;
    if (place) this._node.append(place);
    this.button.textContent = place ? this._trans.__("Close the chart") : this._trans.__("Open the chart");
    this.button.setAttribute("aria-expanded", `${place !== null}`);
  }

  private _shown: HTMLElement | null = null;
}
