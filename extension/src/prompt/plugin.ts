/** Prompt cells: wrapped prose with a placeholder, a badge, colours, and a key that switches the kind. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import { CodeCell } from "@jupyterlab/cells";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IAgentNotebooks } from "../connection/plugin";
import { PromptCells, switchKind } from "./notebook";

export const SWITCH = "agent-kernel:switch-cell-kind";

export const prompt: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:prompt",
  description: "Shows the cells of Agent notebooks as prompts.",
  autoStart: true,
  requires: [IAgentNotebooks],
  optional: [ITranslator],
  activate: (app, notebooks: IAgentNotebooks, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    notebooks.each((notebook) => new PromptCells(notebook, app.serviceManager.contents, trans));
    app.commands.addCommand(SWITCH, {
      label: trans.__("Switch Between Prompt, Python and Shell"),
      isEnabled: () => notebooks.current?.isOurs === true,
      execute: () => {
        const cell = notebooks.current?.panel.content.activeCell;
        if (cell instanceof CodeCell) switchKind(cell);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
  },
};
