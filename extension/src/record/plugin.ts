/** The record: the answer first, the work folded to one line, and a switch that shows the work. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import { CodeCell } from "@jupyterlab/cells";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IAgentNotebooks } from "../connection/plugin";
import { Fold } from "./fold";

export const SHOW = "agent-kernel:show-work";
const ID = "jupyter-agent-kernel:record";

export const record: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Shows the answer of a cell first, and folds its work.",
  autoStart: true,
  requires: [IAgentNotebooks, ISettingRegistry],
  optional: [ITranslator],
  activate: async (
    app,
    notebooks: IAgentNotebooks,
    registry: ISettingRegistry,
    translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    const settings = await registry.load(ID);
    const shown = () => settings.get("showWork").composite === true;
    const known = new Map<CodeCell, Fold>();

    const fold = (cell: CodeCell) => {
      known.set(cell, new Fold(cell, trans, shown()));
      cell.disposed.connect(() => {
        known.delete(cell);
      });
    };
    notebooks.each((notebook) => {
      const look = () => {
        if (notebook.panel.isDisposed) return;
        for (const cell of notebook.panel.content.widgets) {
          if (!(cell instanceof CodeCell)) continue;
          if (notebook.isOurs && !known.has(cell)) fold(cell);
          if (notebook.isOurs) continue;
          known.get(cell)?.remove();
          known.delete(cell);
        }
      };
      notebook.changed.connect(look);
      notebook.panel.content.modelContentChanged.connect(look);
      look();
    });

    app.commands.addCommand(SHOW, {
      label: trans.__("Show the Work of Agent Cells"),
      isToggled: shown,
      execute: () => settings.set("showWork", !shown()),
      describedBy: { args: { type: "object", properties: {} } },
    });
    settings.changed.connect(() => {
      for (const each of known.values()) each.show(shown());
      app.commands.notifyCommandChanged(SHOW);
    });
  },
};
