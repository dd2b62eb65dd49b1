/** The settings of one notebook, kept while the notebook is open: what was typed is not lost. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { type Fields, reason } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { element } from "../dom";
import { ContainerSection } from "./container";
import { ModelSection } from "./model";
import { NetworkSection } from "./network";
import { PolicySection } from "./policy";
import type { Context, Section } from "./section";
import { BudgetSection, InstructionsSection } from "./turns";

export class SettingsView {
  readonly node = element("div", "jp-agent-settings-view");

  constructor(
    private readonly _notebook: AgentNotebook,
    private readonly _trans: TranslationBundle,
  ) {
    this._said = element("p", "jp-agent-words", this.node);
    this._said.setAttribute("role", "status");
    const context: Context = { ask: (name, given) => _notebook.ask(name, given), trans: _trans };
    this._sections = [
      new ModelSection(context),
      new InstructionsSection(context),
      new BudgetSection(context),
      new NetworkSection(context),
      new PolicySection(context),
      new ContainerSection(context),
    ];
    for (const section of this._sections) this.node.append(section.form.node);
  }

  /** Draws it, and asks for the settings if they may have changed. */
  draw(): void {
    const { state } = this._notebook;
    if (!state) {
      this._said.textContent = this._trans.__("The kernel is not connected.");
      this._seen = "";
      return;
    }
    const running = this._trans.__("A cell is running: it keeps the settings that it began with.");
    this._said.textContent = state.cell ? running : "";
    const seen = [state.settings, state.container.id, state.cell?.number, state.model].join(" ");
    if (seen === this._seen) return;
    this._seen = seen;
    void this._refresh();
  }

  private async _refresh(): Promise<void> {
    if (this._refreshing) {
      this._again = true;
      return;
    }
    this._refreshing = true;
    try {
      const settings = await this._notebook.ask("settings");
      for (const section of this._sections) await this._show(section, settings);
    } catch (error) {
      this._said.textContent = reason(error);
    }
    this._refreshing = false;
    if (this._again) {
      this._again = false;
      void this._refresh();
    }
  }

  private async _show(section: Section, settings: Fields): Promise<void> {
    try {
      await section.show(settings);
    } catch (error) {
      section.form.say(reason(error));
    }
  }

  private readonly _said: HTMLElement;
  private readonly _sections: readonly Section[];
  private _seen = "";
  private _refreshing = false;
  private _again = false;
}
