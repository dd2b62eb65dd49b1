/** Icons that follow the theme. */

import { LabIcon } from "@jupyterlab/ui-components";

/** A shield with a tick: what waits for approval. */
export const approvalIcon = new LabIcon({
  name: "jupyter-agent-kernel:approval",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M12 1 3 5v6c0 5.6 3.8 10.7 9 12 5.2-1.3 9-6.4 9-12V5l-9-4zm0 2.2 7 3.1V11c0 4.5-2.9 8.6-7 9.9-4.1-1.3-7-5.4-7-9.9V6.3l7-3.1z"/>
  <path class="jp-icon3" fill="#616161" d="m10.6 16.4-3.8-3.8 1.4-1.4 2.4 2.4 5.2-5.2 1.4 1.4z"/>
</svg>`,
});
