/** Status: an item in each notebook's toolbar, one in the status bar, and a command that stops. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import { IToolbarWidgetRegistry } from "@jupyterlab/apputils";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { IStatusBar } from "@jupyterlab/statusbar";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IAgentNotebooks } from "../connection/plugin";
import { SETTINGS } from "../settings/plugin";
import { StatusBarItem } from "./statusbar";
import { stop, ToolbarStatus } from "./toolbar";

export const STOP = "agent-kernel:stop";

export const status: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:status",
  description: "Shows the model, the container and the running cell of Agent notebooks.",
  autoStart: true,
  requires: [IAgentNotebooks, IToolbarWidgetRegistry],
  optional: [ITranslator, IStatusBar],
  activate: (
    app,
    notebooks: IAgentNotebooks,
    toolbars: IToolbarWidgetRegistry,
    translator: ITranslator | null,
    statusBar: IStatusBar | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    toolbars.addFactory<NotebookPanel>("Notebook", "agent-status", (panel) => {
      return new ToolbarStatus(notebooks.of(panel), trans, () => void app.commands.execute(SETTINGS));
    });
    app.commands.addCommand(STOP, {
      label: trans.__("Stop the Running Cell"),
      isEnabled: () => notebooks.current?.state?.cell != null,
      execute: () => {
        if (notebooks.current) stop(notebooks.current);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    if (statusBar) {
      const item = new StatusBarItem(notebooks, trans);
      setInterval(() => {
        if (notebooks.current?.state?.cell) item.draw();
      }, 1000);
      statusBar.registerStatusItem("jupyter-agent-kernel:status", {
        item,
        align: "middle",
        rank: 10,
        isActive: () => item.isActive,
        activeStateChanged: notebooks.changed,
      });
    }
  },
};
