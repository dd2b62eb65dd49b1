/** The plugins of this extension: one folder each. */

import { citations } from "./citations/plugin";
import { notebooks } from "./connection/plugin";
import { container } from "./files/container";
import { files } from "./files/plugin";
import { history } from "./history/plugin";
import { inbox } from "./inbox/plugin";
import { completion } from "./prompt/completion";
import { prompt } from "./prompt/plugin";
import { record } from "./record/plugin";
import { settings } from "./settings/plugin";
import { status } from "./status/plugin";
import { terminal } from "./terminal/plugin";
import { variables } from "./variables/plugin";
import { welcome } from "./welcome/plugin";

export default [
  notebooks,
  prompt,
  completion,
  status,
  settings,
  inbox,
  variables,
  history,
  citations,
  files,
  container,
  terminal,
  record,
  welcome,
];
