/** Icons that follow the theme. */

import { LabIcon } from "@jupyterlab/ui-components";

/** Two sliders: the set-up. */
export const setupIcon = new LabIcon({
  name: "jupyter-agent-kernel:setup",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M3 7h9a3 3 0 0 0 6 0h3V5h-3a3 3 0 0 0-6 0H3v2zm0 12h3a3 3 0 0 0 6 0h9v-2h-9a3 3 0 0 0-6 0H3v2z"/>
</svg>`,
});

/** A shield with a tick: what waits for approval. */
export const approvalIcon = new LabIcon({
  name: "jupyter-agent-kernel:approval",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M12 1 3 5v6c0 5.6 3.8 10.7 9 12 5.2-1.3 9-6.4 9-12V5l-9-4zm0 2.2 7 3.1V11c0 4.5-2.9 8.6-7 9.9-4.1-1.3-7-5.4-7-9.9V6.3l7-3.1z"/>
  <path class="jp-icon3" fill="#616161" d="m10.6 16.4-3.8-3.8 1.4-1.4 2.4 2.4 5.2-5.2 1.4 1.4z"/>
</svg>`,
});

/** Three sliders: the settings of a notebook. */
export const settingsIcon = new LabIcon({
  name: "jupyter-agent-kernel:settings",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M3 6h9v2H3zm15 0h3v2h-3zM3 11h3v2H3zm9 0h9v2h-9zM3 16h7v2H3zm13 0h5v2h-5z"/>
  <path class="jp-icon3" fill="#616161" d="M13 4h4v6h-4zM7 9h4v6H7zm4 5h4v6h-4z"/>
</svg>`,
});

/** A table with a name in front: the variables of a session. */
export const variablesIcon = new LabIcon({
  name: "jupyter-agent-kernel:variables",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M3 4h18v16H3zm2 2v3h4V6zm6 0v3h8V6zm-6 5v3h4v-3zm6 0v3h8v-3zm-6 5v2h4v-2zm6 0v2h8v-2z"/>
</svg>`,
});

/** A clock with an arrow around it: what has run. */
export const historyIcon = new LabIcon({
  name: "jupyter-agent-kernel:history",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M13 3a9 9 0 0 0-9 9H1l4 4 4-4H6a7 7 0 1 1 2 4.9l-1.4 1.4A9 9 0 1 0 13 3zm-1 5v5l4.3 2.5.7-1.2-3.5-2.1V8z"/>
</svg>`,
});

/** An open box: the container's files. JupyterLab's own file browser has a folder. */
export const filesIcon = new LabIcon({
  name: "jupyter-agent-kernel:files",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M12 2 3 6.5v11L12 22l9-4.5v-11zm0 2.2 6 3-6 3-6-3zM5 8.9l6 3v7.4l-6-3zm8 10.4v-7.4l6-3v7.4z"/>
</svg>`,
});

/** Quotation marks: what an answer cites. */
export const citationsIcon = new LabIcon({
  name: "jupyter-agent-kernel:citations",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M3 6h8v8l-3 5H5l2-5H3zm11 0h8v8l-3 5h-3l2-5h-4z"/>
</svg>`,
});
