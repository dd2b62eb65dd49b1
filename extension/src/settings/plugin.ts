/** Settings: a side panel with forms for model, instructions, budget, network, approvals and container. */

import { ILayoutRestorer, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IAgentNotebooks } from "../connection/plugin";
import { settingsIcon } from "../icons";
import { addPanel, NotebookPanelWidget } from "../panel";
import { SettingsView } from "./view";

export const SETTINGS = "agent-kernel:show-settings";

export const settings: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:settings",
  description: "Forms for the settings of Agent notebooks.",
  autoStart: true,
  requires: [IAgentNotebooks],
  optional: [ITranslator, ILayoutRestorer],
  activate: (
    app,
    notebooks: IAgentNotebooks,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    const panel = new NotebookPanelWidget(
      notebooks,
      trans.__("Settings"),
      trans.__("Open an Agent notebook to see its settings."),
      (notebook) => new SettingsView(notebook, trans),
    );
    panel.id = "jp-agent-settings";
    panel.title.icon = settingsIcon;
    panel.title.caption = trans.__("Agent Settings");
    addPanel(app, panel, { command: SETTINGS, label: trans.__("Show Agent Settings"), rank: 901 }, restorer);
  },
};
