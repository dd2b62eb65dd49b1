/** Scripts that are imported as text; see webpack.config.cjs. */
declare module "*?source" {
  const source: string;
  export default source;
}
