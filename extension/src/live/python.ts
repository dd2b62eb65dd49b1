/** The parts of Python code. This does not need to parse the language. */

import type { Piece } from "./code";

const KEYWORDS = new Set(
  (
    "False None True and as assert async await break class continue def del elif else except finally for from " +
    "global if import in is lambda match nonlocal not or pass raise return try while with yield"
  ).split(" "),
);
const KINDS = ["comment", "string", "number", "variable"];
const TOKEN = new RegExp(
  [
    /(?<comment>#[^\n]*)/,
    /(?<string>[rbfuRBFU]{0,2}(?:"""(?:\\[^]|(?!""")[^])*(?:"""|$)|'''(?:\\[^]|(?!''')[^])*(?:'''|$)|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?))/,
    /(?<number>\b\d[\w.]*)/,
    /(?<word>[A-Za-z_]\w*)/,
    /(?<variable>@[A-Za-z_][\w.]*)/,
    /(?<other>[^])/,
  ]
    .map((pattern) => pattern.source)
    .join("|"),
  "gu",
);

/** Kinds are those of a command's parts, so that both have the same colours. */
export function pythonTokens(text: string): Piece[] {
  const pieces: Piece[] = [];
  let before = "";
  for (const { 0: token, groups = {} } of text.matchAll(TOKEN)) {
    const kind = KINDS.find((name) => groups[name] !== undefined) ?? "";
    if (groups["word"] === undefined) pieces.push([kind, token]);
    else if (KEYWORDS.has(token)) pieces.push(["keyword", token]);
    else pieces.push([before === "def" || before === "class" ? "command" : "", token]);
    if (token.trim()) before = token;
  }
  return pieces;
}
