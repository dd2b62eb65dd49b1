/** The script that draws a chart within its frame. It is a text: it runs there, and nowhere else. */

export const DRAW = `
"use strict";
const { engine, spec, colours } = JSON.parse(document.getElementById("given").textContent);
const chart = document.getElementById("chart");
for (const kind of ["click", "auxclick"]) {
  // A link of a chart leads nowhere: its address may tell what the chart shows.
  addEventListener(kind, (event) => {
    if (event.target.closest?.("a")) event.preventDefault();
  }, true);
}
document.body.style.color = colours.text;
document.body.style.background = colours.background;
const failed = (error) => {
  chart.textContent = "This chart could not be drawn here: " + String(error && error.message || error).slice(0, 300);
};
const plotly = () => {
  const ours = { paper_bgcolor: colours.background, plot_bgcolor: colours.background, font: { color: colours.text } };
  const layout = { ...ours, ...spec.layout, autosize: true };
  return Plotly.newPlot(chart, spec.data, layout, { responsive: true, displaylogo: false });
};
const vega = () => {
  const text = { labelColor: colours.text, titleColor: colours.text };
  const axis = { ...text, domainColor: colours.line, gridColor: colours.line, tickColor: colours.line };
  const config = {
    background: colours.background, axis, legend: text, header: text,
    title: { color: colours.text }, view: { stroke: colours.line },
  };
  const refuse = () => Promise.reject(new Error("it would need data from elsewhere"));
  const loader = { load: refuse, sanitize: refuse, http: refuse, file: refuse };
  delete spec.usermeta;
  return vegaEmbed(chart, spec, { actions: false, ast: true, renderer: "svg", tooltip: { theme: colours.light ? "light" : "dark" }, config, loader });
};
Promise.resolve().then(engine === "plotly" ? plotly : vega).then(() => chart.setAttribute("data-drawn", ""), failed);
`;
