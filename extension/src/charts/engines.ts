/** The sources of the engines that draw charts: large, so they are loaded when the first chart is opened. */

import type { Chart } from "./charts";

/** The scripts of an engine, in the order in which they have to run. */
export async function engineOf(chart: Chart): Promise<string[]> {
  if (chart.engine === "plotly") {
    const plotly = await import(
      /* webpackChunkName: "chart-plotly" */ "../../node_modules/plotly.js-dist-min/plotly.min.js?source"
    );
    return [plotly.default];
  }
  const loaded = await Promise.all([
    import(/* webpackChunkName: "chart-vega" */ "../../node_modules/vega/build/vega.min.js?source"),
    import(/* webpackChunkName: "chart-vega" */ "../../node_modules/vega-lite/build/vega-lite.min.js?source"),
    import(
      /* webpackChunkName: "chart-vega" */ "../../node_modules/vega-embed/build/vega-embed.min.js?source"
    ),
  ]);
  return loaded.map((each) => each.default);
}
