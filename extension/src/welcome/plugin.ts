/** The first-run page: opened by a command, and offered when something is missing. */

import { ILabShell, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, Notification } from "@jupyterlab/apputils";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { ITranslator, nullTranslator, type TranslationBundle } from "@jupyterlab/translation";

import type { Connection } from "../connection/connection";
import { IAgentNotebooks } from "../connection/plugin";
import { setupIcon } from "../icons";
import { missing, readChecks } from "./checks";
import { copyExample } from "./example";
import { PageKernel } from "./kernel";
import { WelcomePage } from "./page";

const ID = "jupyter-agent-kernel:welcome";
export const WELCOME = "agent-kernel:set-up";

export const welcome: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: "Shows what Agent notebooks lack on this machine, and prepares it.",
  autoStart: true,
  requires: [IAgentNotebooks],
  optional: [ITranslator, ILabShell, ICommandPalette, ISettingRegistry],
  activate: (
    app,
    notebooks: IAgentNotebooks,
    translator: ITranslator | null,
    labShell: ILabShell | null,
    palette: ICommandPalette | null,
    registry: ISettingRegistry | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    let page: WelcomePage | null = null;
    app.commands.addCommand(WELCOME, {
      label: trans.__("Set Up Agent Notebooks"),
      caption: trans.__("See what is ready, prepare the sandbox, choose a model, open an example"),
      icon: setupIcon,
      execute: () => {
        if (!page || page.isDisposed) {
          page = made(app, notebooks, trans);
          app.shell.add(page, labShell ? "main" : "right", { rank: 950, type: "Agent" });
        }
        app.shell.activateById(page.id);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    palette?.addItem({ command: WELCOME, category: trans.__("Agent Notebooks") });
    offerOnce(notebooks, registry, (names) => {
      const message = trans.__("Agent notebooks cannot run yet. Missing: %1.", names.join(", "));
      const act = { label: trans.__("Set up"), callback: () => void app.commands.execute(WELCOME) };
      Notification.warning(message, { autoClose: false, actions: [act] });
    });
  },
};

function made(app: JupyterFrontEnd, notebooks: IAgentNotebooks, trans: TranslationBundle): WelcomePage {
  const { contents } = app.serviceManager;
  const open = async (connection: Connection): Promise<void> => {
    const path = await copyExample(connection, contents);
    await app.commands.execute("docmanager:open", { path });
  };
  const page = new WelcomePage(new PageKernel(notebooks, app.serviceManager), notebooks, open, trans);
  page.id = "jp-agent-welcome";
  page.title.label = trans.__("Agent Setup");
  page.title.caption = trans.__("Set up Agent notebooks");
  page.title.icon = setupIcon;
  page.title.closable = true;
  return page;
}

/** Asks the first Agent notebook that is opened what is missing. */
function offerOnce(
  notebooks: IAgentNotebooks,
  registry: ISettingRegistry | null,
  offer: (names: string[]) => void,
): void {
  const look = async (): Promise<void> => {
    const connection = notebooks.all.find((each) => each.connection?.state)?.connection;
    if (!connection) return;
    notebooks.changed.disconnect(changed);
    const settings = await registry?.load(ID).catch(() => null);
    if (settings?.composite["offerSetup"] === false) return;
    const answer = await connection.request("readiness", { quick: true }).catch(() => null);
    const lacking = answer ? missing(readChecks(answer)) : [];
    if (lacking.length > 0) offer(lacking.map((each) => each.name));
  };
  const changed = (): void => void look();
  notebooks.changed.connect(changed);
}
