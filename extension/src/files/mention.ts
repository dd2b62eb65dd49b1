/** Mentions of files in the source of a cell. Pure. */

const PLAIN = /^[^\s"'`@()[\]{}<>$=|;&*?,:!]+$/;

/** A file as a prompt mentions it: `@name`, quoted if it has to be. */
export function mentioned(path: string): string {
  return PLAIN.test(path) ? `@${path}` : `@"${path}"`;
}

/** The text with `word` put in at a place, with spaces where they are needed. */
export function inserted(source: string, at: number, word: string): { source: string; end: number } {
  const before = source.slice(0, at);
  const after = source.slice(at);
  const left = before && !/\s$/.test(before) ? " " : "";
  const right = /^\s/.test(after) ? "" : " ";
  return { source: before + left + word + right + after, end: at + left.length + word.length + right.length };
}

/** Whether a prompt has this mention, and not only a longer one that begins like it. */
export function mentions(source: string, word: string): boolean {
  return source
    .split(word)
    .slice(1)
    .some((rest) => !/^[\w/-]|^\.\w/.test(rest));
}
