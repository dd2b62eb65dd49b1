/** The settings of one notebook, kept while the notebook is open: what was typed is not lost. */

import type { TranslationBundle } from "@jupyterlab/translation";

import { type Fields, reason, type State } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { AskingView } from "../panel";
import { ContainerSection } from "./container";
import { ModelSection } from "./model";
import { NetworkSection } from "./network";
import { PolicySection } from "./policy";
import type { Context, Section } from "./section";
import { BudgetSection, InstructionsSection } from "./turns";

export class SettingsView extends AskingView {
  constructor(notebook: AgentNotebook, trans: TranslationBundle) {
    super(notebook, trans, "jp-agent-settings-view");
    const context: Context = { ask: (name, given) => notebook.ask(name, given), trans };
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

  protected look(state: State): string {
    const running = this.trans.__("A cell is running: it keeps the settings that it began with.");
    this.said.textContent = state.cell ? running : "";
    return [state.settings, state.container.id, state.cell?.number, state.model].join(" ");
  }

  protected async refresh(): Promise<void> {
    const settings = await this.notebook.ask("settings");
    for (const section of this._sections) await this._show(section, settings);
  }

  private async _show(section: Section, settings: Fields): Promise<void> {
    try {
      await section.show(settings);
    } catch (error) {
      section.form.say(reason(error));
    }
  }

  private readonly _sections: readonly Section[];
}
