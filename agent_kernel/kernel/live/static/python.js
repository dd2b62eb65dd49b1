// Colours Python code for reading. It does not need to parse the language.

const PYTHON_KEYWORDS = new Set(
  ("False None True and as assert async await break class continue def del elif else except finally for from " +
    "global if import in is lambda match nonlocal not or pass raise return try while with yield").split(" "),
);
const PYTHON_TOKEN = new RegExp(
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

// [[kind, text], ...]; the texts joined are the code. Kinds are those of a command's colours.
function pythonTokens(text) {
  const tokens = [];
  let before = "";
  for (const { 0: token, groups } of text.matchAll(PYTHON_TOKEN)) {
    const { word } = groups;
    const kind = ["comment", "string", "number", "variable"].find((name) => groups[name] !== undefined) ?? "";
    if (word === undefined) tokens.push([kind, token]);
    else if (PYTHON_KEYWORDS.has(word)) tokens.push(["keyword", token]);
    else tokens.push([before === "def" || before === "class" ? "command" : "", token]);
    if (token.trim()) before = token;
  }
  return tokens;
}

function drawPython(node, text) {
  node.replaceChildren();
  const clean = readable(text).replace(/\n$/, "");
  for (const [kind, token] of pythonTokens(clean.slice(0, COLOURED))) {
    if (kind) element("span", `agent-shell-${kind}`, node, token);
    else node.append(token);
  }
  node.append(clean.slice(COLOURED));
}
