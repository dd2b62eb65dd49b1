/** Approvals: a side panel with the questions that wait, a badge with their number, and a notification. */

import { ILayoutRestorer, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import type { AgentNotebook } from "../connection/notebook";
import { IAgentNotebooks } from "../connection/plugin";
import { approvalIcon } from "../icons";
import { addPanel } from "../panel";
import { Notifier } from "./notify";
import { InboxPanel, waiting } from "./panel";

export const INBOX = "agent-kernel:show-approvals";

export const inbox: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:inbox",
  description: "Collects the questions of all Agent notebooks.",
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
    const show = (notebook: AgentNotebook, cell: string | null) => {
      app.shell.activateById(notebook.panel.id);
      void notebook.show(cell);
    };
    const panel = new InboxPanel(notebooks, show, trans);
    panel.id = "jp-agent-inbox";
    panel.title.icon = approvalIcon;
    panel.title.caption = trans.__("Approvals");
    addPanel(app, panel, { command: INBOX, label: trans.__("Show Approvals"), rank: 900 }, restorer);

    const notifier = new Notifier(() => void app.commands.execute(INBOX), trans);
    const update = () => {
      const open = waiting(notebooks);
      panel.title.label = open.length > 0 ? `${open.length}` : "";
      panel.title.className = open.length > 0 ? "jp-agent-inbox-waits" : "";
      notifier.update(open);
    };
    notebooks.changed.connect(update);
    document.addEventListener("visibilitychange", update);
  },
};
