/** Charts in pages that Plotly and Altair write: the JSON in their scripts, which are read and not run. Pure. */

import { fields, text } from "../connection/messages";
import type { Chart } from "./charts";

const PLOTLY =
  /Plotly\.(?:newPlot|react|plot)\(\s*(?:"[^"\n]{0,200}"|'[^'\n]{0,200}'|[\w$.]{1,200})\s*,\s*(?=\[)/g;
const VEGA = /(?:\bspec\s*=\s*|\}\)\(\s*|\bvegaEmbed\(\s*(?:"[^"\n]{0,200}"|'[^'\n]{0,200}')\s*,\s*)(?=\{)/g;
const SCHEMA = /^https?:\/\/[^/]*\/schema\/vega(?:-lite)?\//;
const MOST_TRIED = 20;

/** The first chart in a page; null if it has none that can be read. */
export function chartOfPage(page: string): Chart | null {
  for (const at of places(page, PLOTLY)) {
    const data = jsonAt(page, at);
    if (!Array.isArray(data?.value)) continue;
    const comma = /^\s*,\s*/.exec(page.slice(data.end, data.end + 200));
    const layout = comma ? jsonAt(page, data.end + comma[0].length)?.value : null;
    return { engine: "plotly", spec: { data: data.value, layout: fields(layout) } };
  }
  for (const at of places(page, VEGA)) {
    const spec = fields(jsonAt(page, at)?.value);
    if (SCHEMA.test(text(spec["$schema"]))) return { engine: "vega", spec };
  }
  return null;
}

function places(page: string, pattern: RegExp): number[] {
  const found: number[] = [];
  for (const match of page.matchAll(pattern)) {
    found.push(match.index + match[0].length);
    if (found.length === MOST_TRIED) break;
  }
  return found;
}

/** The JSON array or object that begins at a place, and where it ends; null if there is none. */
function jsonAt(page: string, at: number): { value: unknown; end: number } | null {
  const token = /"(?:[^"\\]|\\.)*"|[[\]{}]|$/gs;
  token.lastIndex = at;
  let depth = 0;
  for (let match = token.exec(page); match?.[0]; match = token.exec(page)) {
    if (match[0] === "[" || match[0] === "{") depth += 1;
    else if (match[0] === "]" || match[0] === "}") depth -= 1;
    if (depth > 0) continue;
    try {
      return { value: JSON.parse(page.slice(at, token.lastIndex)), end: token.lastIndex };
    } catch {
      return null;
    }
  }
  return null;
}
