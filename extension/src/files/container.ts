/** The files panel: the container's files as a drive of JupyterLab's, in a side panel on the left. */

import {
  ILabShell,
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
} from "@jupyterlab/application";
import { ICommandPalette } from "@jupyterlab/apputils";
import { IDocumentManager } from "@jupyterlab/docmanager";
import { Context } from "@jupyterlab/docregistry";
import { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";

import { IAgentNotebooks } from "../connection/plugin";
import { filesIcon } from "../icons";
import { category } from "../panel";
import { TERMINAL } from "../terminal/plugin";
import { ContainerDrive, DRIVE } from "./drive";
import { addMarkdownViewer } from "./markdown";
import { FilesPanel } from "./panel";
import { FilesWork, type OpenInViewer } from "./work";

export const FILES = "agent-kernel:show-files";
const VIEWER = "jp-agent-viewer";

export const container: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:container",
  description: "Shows the files in the containers of Agent notebooks.",
  autoStart: true,
  requires: [IAgentNotebooks, IDocumentManager, IRenderMimeRegistry],
  optional: [ITranslator, ILabShell, ILayoutRestorer, ICommandPalette],
  activate: (
    app,
    notebooks: IAgentNotebooks,
    documents: IDocumentManager,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null,
    lab: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("agent_kernel");
    const drive = new ContainerDrive(notebooks, app.serviceManager.serverSettings);
    app.serviceManager.contents.addDrive(drive);
    addMarkdownViewer(app.docRegistry, rendermime);
    const open = lab ? inTab(documents) : beside(app);
    const terminal = () => void app.commands.execute(TERMINAL);
    const work = new FilesWork(open, terminal, app.commands, trans);
    const panel = new FilesPanel(notebooks, work, trans);
    work.panel = panel;
    panel.id = "jp-agent-files";
    panel.title.icon = filesIcon;
    panel.title.caption = trans.__("Files in the container");
    app.shell.add(panel, "left", { rank: 150, type: "Agent" });
    restorer?.add(panel, panel.id);
    app.commands.addCommand(FILES, {
      label: trans.__("Show Files in the Container"),
      execute: () => {
        app.shell.activateById(panel.id);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    for (const command of [FILES, TERMINAL]) palette?.addItem({ command, category: category(trans) });
  },
};

/** Opens a tab, or shows the one that is open, with the file as it is now. */
function inTab(documents: IDocumentManager): OpenInViewer {
  return (notebook, path, factory, name) => {
    const whole = `${DRIVE}:${notebook.panel.context.path}/${path}`;
    const known = documents.findWidget(whole, factory);
    const widget = documents.openOrReveal(whole, factory);
    if (!widget) return;
    if (known && !known.context.model.dirty) void known.context.revert();
    widget.title.label = name;
    widget.addClass(VIEWER);
  };
}

/** Notebook 7 has one document to a page: shows the file in a panel beside it. */
function beside(app: JupyterFrontEnd): OpenInViewer {
  let shown: { dispose(): void } | null = null;
  return (notebook, path, factory, name) => {
    const registry = app.docRegistry;
    const viewer = registry.getWidgetFactory(factory) ?? registry.getWidgetFactory("Editor");
    const model = viewer && registry.getModelFactory(viewer.modelName ?? "text");
    if (!viewer || !model) return;
    const whole = `${DRIVE}:${notebook.panel.context.path}/${path}`;
    const context = new Context({ manager: app.serviceManager, factory: model, path: whole });
    const widget = viewer.createNew(context);
    widget.id = "jp-agent-file";
    widget.title.label = name;
    widget.addClass(VIEWER);
    shown?.dispose();
    shown = widget;
    widget.disposed.connect(() => {
      context.dispose();
    });
    app.shell.add(widget, "right");
    app.shell.activateById(widget.id);
    void context.initialize(false);
  };
}
