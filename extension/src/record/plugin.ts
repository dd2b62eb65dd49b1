/** The record: the answer first, the work folded to one line, and a switch that shows the work. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import { CodeCell } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { chosen, type Citation } from "../citations/chosen";
import { CITATIONS } from "../citations/plugin";
import { fields } from "../connection/messages";
import type { AgentNotebook } from "../connection/notebook";
import { IAgentNotebooks, LANGUAGE } from "../connection/plugin";
import { CellRecord } from "./cell";
import { printAsShown } from "./print";

export const SHOW = "agent-kernel:show-work";
const METADATA = "agent_kernel";
const SHOW_WORK = "show_work";
const ID = "jupyter-agent-kernel:record";

/** Whether the notebook says that its kernel is one of ours: its record is shown before the kernel answers. */
function isWrittenForUs({ content }: NotebookPanel): boolean {
  return fields(content.model?.getMetadata("kernelspec"))["language"] === LANGUAGE;
}

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
    const known = new Map<CodeCell, CellRecord>();

    /** The notebook's own choice, which is saved with it, or else the setting. */
    const shown = (panel: NotebookPanel | undefined) => {
      const own = fields(panel?.content.model?.getMetadata(METADATA))[SHOW_WORK];
      return typeof own === "boolean" ? own : settings.get("showWork").composite === true;
    };
    const look = (notebook: AgentNotebook) => {
      const { panel } = notebook;
      if (panel.isDisposed) return;
      const cite = (citations: readonly Citation[], at: number) => {
        chosen.choose(notebook, citations, at);
        void app.commands.execute(CITATIONS);
      };
      const isOurs = notebook.isOurs || isWrittenForUs(panel);
      for (const cell of panel.content.widgets) {
        if (!(cell instanceof CodeCell)) continue;
        if (isOurs && !known.has(cell)) {
          known.set(cell, new CellRecord(cell, notebook, trans, shown(panel), cite));
          cell.disposed.connect(() => known.delete(cell));
        } else if (!isOurs) {
          known.get(cell)?.remove();
          known.delete(cell);
        }
      }
    };
    const showAll = (panel: NotebookPanel) => {
      for (const cell of panel.content.widgets) {
        if (cell instanceof CodeCell) known.get(cell)?.show(shown(panel));
      }
      app.commands.notifyCommandChanged(SHOW);
    };
    notebooks.each((notebook) => {
      const { panel } = notebook;
      const again = () => {
        look(notebook);
      };
      notebook.changed.connect(again);
      panel.content.modelContentChanged.connect(again);
      again();
      printAsShown(notebook);
    });

    app.commands.addCommand(SHOW, {
      label: trans.__("Show the Work of Agent Cells"),
      isEnabled: () => notebooks.current?.isOurs === true,
      isToggled: () => shown(notebooks.current?.panel),
      execute: () => {
        const panel = notebooks.current?.panel;
        const model = panel?.content.model;
        if (!panel || !model) return;
        model.setMetadata(METADATA, { ...fields(model.getMetadata(METADATA)), [SHOW_WORK]: !shown(panel) });
        showAll(panel);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    settings.changed.connect(() => {
      for (const { panel } of notebooks.all) showAll(panel);
    });
  },
};
