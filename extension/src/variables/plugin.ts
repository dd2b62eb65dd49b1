/** Variables: a side panel with those of the agent's Python session. A table opens in a tab. */

import { variablesIcon } from "../icons";
import { notebookPanel } from "../panel";
import { tableOpener } from "./tab";
import { VariablesView } from "./view";

export const VARIABLES = "agent-kernel:show-variables";

export const variables = notebookPanel({
  name: "variables",
  description: "Shows the variables of the Python session of Agent notebooks.",
  command: VARIABLES,
  rank: 902,
  icon: variablesIcon,
  words: (trans) => ({
    title: trans.__("Variables"),
    caption: trans.__("Agent Variables"),
    label: trans.__("Show Agent Variables"),
    none: trans.__("Open an Agent notebook to see the variables of its Python session."),
  }),
  view: (notebook, trans, open) => new VariablesView(notebook, trans, tableOpener(notebook, open, trans)),
});
