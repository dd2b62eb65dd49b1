/** Prints a notebook as it is shown: the answer first and its work folded, or all of it. */

import { Printing } from "@jupyterlab/apputils";
import { PageConfig } from "@jupyterlab/coreutils";

import type { AgentNotebook } from "../connection/notebook";

/** Takes the place of the panel's own printing, which does the same with another format, for our notebooks. */
export function printAsShown(notebook: AgentNotebook): void {
  const { panel } = notebook;
  const usual = panel[Printing.symbol].bind(panel);
  panel[Printing.symbol] = () => (notebook.isOurs ? () => print(notebook) : usual());
}

async function print({ panel: { context } }: AgentNotebook): Promise<void> {
  if (context.model.dirty && !context.model.readOnly) await context.save();
  const { path } = context;
  await Printing.printURL(PageConfig.getNBConvertURL({ format: "agent", download: false, path }));
}
