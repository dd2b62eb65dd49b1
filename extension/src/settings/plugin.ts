/** Settings: a side panel with forms for model, instructions, budget, network, approvals and container. */

import { settingsIcon } from "../icons";
import { notebookPanel } from "../panel";
import { SettingsView } from "./view";

export const SETTINGS = "agent-kernel:show-settings";

export const settings = notebookPanel({
  name: "settings",
  description: "Forms for the settings of Agent notebooks.",
  command: SETTINGS,
  rank: 901,
  icon: settingsIcon,
  words: (trans) => ({
    title: trans.__("Settings"),
    caption: trans.__("Agent Settings"),
    label: trans.__("Show Agent Settings"),
    none: trans.__("Open an Agent notebook to see its settings."),
  }),
  view: (notebook, trans) => new SettingsView(notebook, trans),
});
