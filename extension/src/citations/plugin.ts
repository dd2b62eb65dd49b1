/** Citations: a side panel with the passage that an answer cites, in its document. */

import { citationsIcon } from "../icons";
import { notebookPanel } from "../panel";
import { CitationsView } from "./view";

export const CITATIONS = "agent-kernel:show-citations";

export const citations = notebookPanel({
  name: "citations",
  description: "Shows the passages that answers of Agent notebooks cite.",
  command: CITATIONS,
  rank: 905,
  icon: citationsIcon,
  words: (trans) => ({
    title: trans.__("Citations"),
    caption: trans.__("Agent Citations"),
    label: trans.__("Show Citations"),
    none: trans.__("Open an Agent notebook to read what its answers cite."),
  }),
  view: (notebook, trans) => new CitationsView(notebook, trans),
});
