/** Approvals: a side panel with the questions that wait, a badge with their number, and a notification. */

import { ILayoutRestorer, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { Notification } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import type { AgentNotebook } from "../connection/notebook";
import { IAgentNotebooks } from "../connection/plugin";
import { approvalIcon } from "../icons";
import { InboxPanel, nameOf, waiting } from "./panel";

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
    app.shell.add(panel, "right", { rank: 900, type: "Agent" });
    restorer?.add(panel, panel.id);
    app.commands.addCommand(INBOX, {
      label: trans.__("Show Approvals"),
      execute: () => {
        app.shell.activateById(panel.id);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });

    const told = new Map<string, string>();
    notebooks.changed.connect(() => {
      const open = waiting(notebooks);
      panel.title.label = open.length > 0 ? `${open.length}` : "";
      panel.title.className = open.length > 0 ? "jp-agent-inbox-waits" : "";
      const ids = new Set(open.map(({ question }) => question.id));
      for (const [id, notification] of told) {
        if (ids.has(id)) continue;
        Notification.dismiss(notification);
        told.delete(id);
      }
      for (const { notebook, question } of open) {
        if (told.has(question.id) || isSeen(notebook)) continue;
        const message = trans.__("%1 waits for your approval.", nameOf(notebook));
        const answer = { label: trans.__("Answer"), callback: () => void app.commands.execute(INBOX) };
        told.set(question.id, Notification.warning(message, { autoClose: false, actions: [answer] }));
      }
    });
  },
};

/** Whether the person looks at the notebook: its live view has the same card. */
function isSeen(notebook: AgentNotebook): boolean {
  return notebook.panel.isVisible && document.visibilityState === "visible";
}
