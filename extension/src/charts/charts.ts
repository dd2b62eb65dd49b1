/** The chart of an output: its JSON for Plotly or Vega. No script of the output is ever run. Pure. */

import { fields, text } from "../connection/messages";
import { type Output, textOf } from "../record/outputs";
import { chartOfPage } from "./pages";

export interface Chart {
  readonly engine: "plotly" | "vega";
  readonly spec: Record<string, unknown>;
}

const KIND = /^application\/vnd\.(plotly|vega|vegalite)\.v\d+\+json$/;

/** The chart that an output shows as a picture or as a page; null if there is none. */
export function chartOf(output: Output, before: readonly Output[]): Chart | null {
  const number = output.about["chart"];
  if (typeof number === "number") {
    const call = before.findLast((each) => each.item && each.about["id"] === output.about["id"]);
    const outputs = fields(call?.item?.["agent_kernel"])["outputs"];
    const display = Array.isArray(outputs) ? fields(outputs[number]) : {};
    const found = chartOfData(fields(display["data"]));
    if (found) return found;
  }
  const html = textOf(output, "text/html");
  return html.includes("<iframe sandbox ") ? chartOfPage(framed(html)) : null;
}

function chartOfData(data: Record<string, unknown>): Chart | null {
  for (const [mime, value] of Object.entries(data)) {
    const engine = KIND.exec(mime)?.[1];
    if (engine) return { engine: engine === "plotly" ? "plotly" : "vega", spec: fields(value) };
  }
  return null;
}

/** The page within the two frames in which the kernel shows it. It is parsed; nothing in it is loaded. */
function framed(html: string): string {
  const inner = (within: string) =>
    text(
      new DOMParser().parseFromString(within, "text/html").querySelector("iframe")?.getAttribute("srcdoc"),
    );
  return inner(inner(html));
}
