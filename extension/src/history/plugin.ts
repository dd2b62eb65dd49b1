/** History: a side panel with the cells that have run and their branches. Two branches are compared in a tab. */

import { historyIcon } from "../icons";
import { notebookPanel } from "../panel";
import { HistoryView } from "./view";

export const history = notebookPanel({
  name: "history",
  description: "Shows which cells of an Agent notebook have run, and goes back to before them.",
  command: "agent-kernel:show-history",
  rank: 903,
  icon: historyIcon,
  words: (trans) => ({
    title: trans.__("History"),
    caption: trans.__("Agent History"),
    label: trans.__("Show Agent History"),
    none: trans.__("Open an Agent notebook to see which of its cells have run."),
  }),
  view: (notebook, trans, open) => new HistoryView(notebook, trans, open),
});
