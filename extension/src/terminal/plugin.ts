/** Terminals in the containers of Agent notebooks, each a tab; in Notebook 7 a panel beside the notebook. */

import { ILabShell, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { PathExt } from "@jupyterlab/coreutils";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import { terminalIcon } from "@jupyterlab/ui-components";

import { IAgentNotebooks } from "../connection/plugin";
import { ContainerTerminal } from "./terminal";

export const TERMINAL = "agent-kernel:open-terminal";

export const terminal: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:terminal",
  description: "Opens terminals in the containers of Agent notebooks.",
  autoStart: true,
  requires: [IAgentNotebooks],
  optional: [ITranslator, ILabShell],
  activate: (app, notebooks: IAgentNotebooks, translator: ITranslator | null, lab: ILabShell | null) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    let opened = 0;
    app.commands.addCommand(TERMINAL, {
      label: trans.__("Open a Terminal in the Container"),
      icon: terminalIcon,
      isEnabled: () => notebooks.current?.isOurs === true,
      execute: () => {
        const notebook = notebooks.current;
        if (!notebook?.isOurs) return;
        opened += 1;
        const { path } = notebook.panel.context;
        const again = () => notebooks.all.find((each) => each.panel.context.path === path) ?? null;
        const widget = new ContainerTerminal(() => (notebook.panel.isDisposed ? again() : notebook), trans);
        notebooks.changed.connect(widget.look, widget);
        widget.id = `jp-agent-terminal-${opened}`;
        widget.title.icon = terminalIcon;
        widget.title.closable = true;
        const name = PathExt.basename(path);
        widget.title.label = lab ? trans.__("Container of %1", name) : "";
        widget.title.caption = trans.__("Terminal in the container of %1", name);
        app.shell.add(widget, lab ? "main" : "right", { mode: "split-bottom" });
        app.shell.activateById(widget.id);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    notebooks.changed.connect(() => {
      app.commands.notifyCommandChanged(TERMINAL);
    });
  },
};
