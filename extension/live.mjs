// node live.mjs [--watch]: bundles the live view for the kernel, which sends it to the page with each widget.
// One module with all it needs, because it must work where the extension is not installed, and without a network.

import { readFileSync } from "node:fs";
import process from "node:process";

import { CopyRspackPlugin, rspack } from "@rspack/core";

/** The view's styles, and those of the card that the inbox shows too. */
function withCard(styles) {
  return `${styles}\n${readFileSync(`${import.meta.dirname}/style/card.css`, "utf8")}`;
}

const shared = {
  mode: "production",
  target: ["web", "es2022"],
  context: import.meta.dirname,
  devtool: false,
};
const path = `${import.meta.dirname}/../agent_kernel/kernel/live/static`;

const compiler = rspack([
  {
    ...shared,
    entry: "./lib/live/index.js",
    plugins: [new CopyRspackPlugin({ patterns: [{ from: "style/live.css", transform: withCard }] })],
    output: { path, filename: "live.js", library: { type: "module" } },
  },
  // The page of the desktop, which the kernel serves itself.
  { ...shared, entry: "./lib/live/tab.js", output: { path, filename: "desktop.js", module: true } },
]);

function report(error, stats) {
  if (error) throw error;
  process.stdout.write(`${stats.toString({ preset: "errors-warnings", assets: true })}\n`);
  if (stats.hasErrors()) process.exitCode = 1;
}

if (process.argv.includes("--watch")) compiler.watch({}, report);
else compiler.run((...given) => compiler.close(() => report(...given)));
