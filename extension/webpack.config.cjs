// The engines that draw charts are kept as text: they run in a frame of their own, never in the page.
module.exports = { module: { rules: [{ resourceQuery: /^\?source$/, type: "asset/source" }] } };
