/** Approvals: a side panel with the questions that wait, a badge with their number, and a notification. */

import { ILayoutRestorer, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IAgentNotebooks } from "../connection/plugin";
import { UnopenedNotebooks } from "../connection/unopened";
import { approvalIcon } from "../icons";
import { addPanel, category } from "../panel";
import { Notifier } from "./notify";
import { InboxPanel } from "./panel";
import { isHidden, WaitingQuestions } from "./waiting";

export const INBOX = "agent-kernel:show-approvals";

export const inbox: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:inbox",
  description: "Collects the questions of all Agent notebooks.",
  autoStart: true,
  requires: [IAgentNotebooks],
  optional: [ITranslator, ILayoutRestorer, ICommandPalette],
  activate: (
    app,
    notebooks: IAgentNotebooks,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    const panel = new InboxPanel(trans, () => update());
    panel.id = "jp-agent-inbox";
    panel.title.icon = approvalIcon;
    panel.title.caption = trans.__("Approvals");
    const about = { command: INBOX, label: trans.__("Show Approvals"), rank: 900, category: category(trans) };
    addPanel(app, panel, about, restorer, palette);

    const notifier = new Notifier(() => void app.commands.execute(INBOX), trans);
    const unopened = new UnopenedNotebooks(app.serviceManager, notebooks);
    const questions = new WaitingQuestions(app, notebooks, unopened, trans);
    const update = () => {
      const open = questions.all;
      panel.draw(open);
      panel.title.label = open.length > 0 ? `${open.length}` : "";
      panel.title.className = open.length > 0 ? "jp-agent-inbox-waits" : "";
      notifier.update(open, panel.isVisible && !isHidden());
    };
    notebooks.changed.connect(update);
    unopened.changed.connect(update);
    document.addEventListener("visibilitychange", update);
  },
};
