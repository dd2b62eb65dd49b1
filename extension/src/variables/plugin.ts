/** Variables: a side panel with those of the agent's Python session. */

import { ILayoutRestorer, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IAgentNotebooks } from "../connection/plugin";
import { variablesIcon } from "../icons";
import { addPanel, NotebookPanelWidget } from "../panel";
import { VariablesView } from "./view";

export const VARIABLES = "agent-kernel:show-variables";

export const variables: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:variables",
  description: "Shows the variables of the Python session of Agent notebooks.",
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
      trans.__("Variables"),
      trans.__("Open an Agent notebook to see the variables of its Python session."),
      (notebook) => new VariablesView(notebook, trans),
    );
    panel.id = "jp-agent-variables";
    panel.title.icon = variablesIcon;
    panel.title.caption = trans.__("Agent Variables");
    addPanel(
      app,
      panel,
      { command: VARIABLES, label: trans.__("Show Agent Variables"), rank: 902 },
      restorer,
    );
  },
};
