module.exports = {
  // The engines that draw charts are kept as text: they run in a frame of their own, never in the page.
  module: { rules: [{ resourceQuery: /^\?source$/, type: "asset/source" }] },
  // What reads Markdown is one file with what draws it, loaded when branches are compared.
  optimization: {
    splitChunks: {
      cacheGroups: {
        markdown: {
          test: /[\\/](markdown-it|mdurl|uc\.micro|linkify-it|punycode\.js|entities)[\\/]/,
          name: "markdown",
          chunks: "async",
          enforce: true,
        },
      },
    },
  },
};
