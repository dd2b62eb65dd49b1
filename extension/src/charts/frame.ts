/** The frame in which a chart is drawn: scripts run in it, but only ours, and it reaches nothing.
 *
 * There are two frames, as around the static pages of the record. The sandbox gives both an origin of their
 * own. The policy of the outer one forbids every fetch, and keeps the inner one from leaving its page. The
 * chart itself is JSON: it is drawn by an engine that compiles no text to code.
 */

import type { Chart } from "./charts";
import { DRAW } from "./draw";

const POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; " +
  "frame-src 'none'; form-action 'none'; base-uri 'none'; webrtc 'block'";

/** The colours of the page around a chart. */
export interface Colours {
  readonly text: string;
  readonly background: string;
  readonly line: string;
  readonly light: boolean;
}

export function coloursOf(node: HTMLElement): Colours {
  const style = getComputedStyle(node);
  const value = (name: string, otherwise: string) => style.getPropertyValue(name).trim() || otherwise;
  return {
    text: value("--jp-content-font-color1", "#222"),
    background: value("--jp-layout-color0", "#fff"),
    line: value("--jp-border-color2", "#ccc"),
    light: document.body.dataset["jpThemeLight"] !== "false",
  };
}

/** A frame with a chart. */
export function chartFrame(chart: Chart, engine: readonly string[], colours: Colours): HTMLIFrameElement {
  const frame = document.createElement("iframe");
  frame.className = "jp-agent-chart-frame";
  frame.setAttribute("sandbox", "allow-scripts");
  frame.setAttribute("allow", "");
  frame.referrerPolicy = "no-referrer";
  const scripts = [...engine, DRAW].map((source) => `<script>${inScript(source)}</script>`).join("");
  const given = JSON.stringify({ ...chart, colours }).replaceAll("<", "\\u003c");
  const style = `html,body{margin:0;height:100%;color-scheme:${colours.light ? "light" : "dark"}}#chart{width:100%;height:100%}`;
  const inner =
    `<!doctype html><meta charset="utf-8">${policy()}<style>${style}</style><body><div id="chart"></div>` +
    `<script type="application/json" id="given">${given}</script>${scripts}`;
  const whole =
    "html,body,iframe{margin:0;border:0;width:100%;height:100%;display:block}body{overflow:hidden}";
  const attribute = inner.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  frame.srcdoc =
    `<!doctype html>${policy()}<style>${whole}</style>` +
    `<iframe sandbox="allow-scripts" allow="" srcdoc="${attribute}"></iframe>`;
  return frame;
}

function policy(): string {
  return `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
}

/** A script as the text of an element: nothing in it ends the element. */
function inScript(source: string): string {
  return source.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
}
