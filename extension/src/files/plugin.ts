/** Files: dropped on a cell, pasted, or chosen with the cell's button; they go to the container. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import { CodeCell } from "@jupyterlab/cells";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { fileUploadIcon } from "@jupyterlab/ui-components";

import type { AgentNotebook } from "../connection/notebook";
import { IAgentNotebooks } from "../connection/plugin";
import { FileDrop } from "./drop";
import { choose } from "./work";

export const ATTACH = "agent-kernel:attach-files";

export const files: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:files",
  description: "Uploads files that are dropped on a cell of an Agent notebook.",
  autoStart: true,
  requires: [IAgentNotebooks],
  optional: [ITranslator],
  activate: (app, notebooks: IAgentNotebooks, translator: ITranslator | null) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    const drops = new WeakMap<AgentNotebook, FileDrop>();
    notebooks.each((notebook) => drops.set(notebook, new FileDrop(notebook, trans)));
    const isOurs = () => notebooks.current?.isOurs === true;
    app.commands.addCommand(ATTACH, {
      label: trans.__("Attach Files …"),
      caption: trans.__("Upload files to the container and mention them in this cell"),
      icon: fileUploadIcon,
      isEnabled: isOurs,
      isVisible: isOurs,
      execute: () => {
        const notebook = notebooks.current;
        const cell = notebook?.panel.content.activeCell;
        if (notebook && cell instanceof CodeCell)
          choose((chosen) => void drops.get(notebook)?.send(cell, chosen));
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    notebooks.changed.connect(() => {
      app.commands.notifyCommandChanged(ATTACH);
    });
  },
};
