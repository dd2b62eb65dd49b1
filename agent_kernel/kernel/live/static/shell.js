// Colours a command for reading. It does not need to parse the whole shell language.

const KEYWORDS = new Set(
  "if then elif else fi for while until do done case esac in select function time { } [[ ]] !".split(" "),
);
const OPENS_COMMAND = new Set("if then elif else while until do time { !".split(" "));
const SHELL_TOKEN = new RegExp(
  [
    /(?<space>[ \t]+|\\\n)/,
    /(?<newline>\n)/,
    /(?<heredoc><<-?[ \t]*(?<quote>['"]?)(?<tag>\w+)\k<quote>)/,
    /(?<operator>[|&;()<>]+)/,
    /(?<string>\$?'(?:[^'])*'?|"(?:\\[^]|[^"\\])*"?)/,
    /(?<variable>\$(?:\w+|\{[^}\n]*\}?|[?#@*!$-]))/,
    /(?<word>(?:\\[^]|[^\s|&;()<>'"$\\])+|[^])/,
  ]
    .map((pattern) => pattern.source)
    .join("|"),
  "y",
);

function wordKind(word, state) {
  const opens = state.command;
  if (KEYWORDS.has(word) && (opens || word === "in" || word === "]]")) {
    state.command = OPENS_COMMAND.has(word);
    return "keyword";
  }
  if (opens && /^\w+\+?=/.test(word)) return "variable"; // the command comes after it
  state.command = false;
  if (opens) return "command";
  if (/^--?[A-Za-z]/.test(word)) return "option";
  return /^\d+(\.\d+)?$/.test(word) ? "number" : "";
}

// [[kind, text], ...]; the texts joined are the command.
function shellTokens(text) {
  const tokens = [];
  const state = { command: true, heredoc: null };
  for (let at = 0; at < text.length; ) {
    const before = at ? text[at - 1] : "\n";
    if (text[at] === "#" && /[\s;|&()]/.test(before)) {
      const end = text.indexOf("\n", at);
      tokens.push(["comment", text.slice(at, end < 0 ? undefined : end)]);
      at = end < 0 ? text.length : end;
      continue;
    }
    SHELL_TOKEN.lastIndex = at;
    const { 0: token, groups } = SHELL_TOKEN.exec(text);
    at += token.length;
    if (groups.newline) {
      tokens.push(["", token]);
      state.command = true;
      if (state.heredoc) {
        const rest = text.slice(at);
        const end = new RegExp(`^\\t*${state.heredoc}$`, "m").exec(rest);
        tokens.push(["string", end ? rest.slice(0, end.index) : rest]);
        tokens.push(["keyword", end ? end[0] : ""]);
        at += end ? end.index + end[0].length : rest.length;
        state.heredoc = null;
      }
    } else if (groups.heredoc) {
      state.heredoc = groups.tag;
      tokens.push(["operator", token]);
    } else if (groups.operator) {
      state.command = !/^[<>&]*[<>]&?$/.test(token);
      tokens.push(["operator", token]);
    } else if (groups.word) tokens.push([wordKind(token, state), token]);
    else {
      if (groups.string || groups.variable) state.command = false;
      tokens.push([groups.string ? "string" : groups.variable ? "variable" : "", token]);
    }
  }
  return tokens;
}

const COLOURED = 4000; // characters of a command; the rest is plain

function drawCommand(node, text) {
  node.replaceChildren();
  const clean = readable(text).replace(/\n$/, "");
  element("span", "agent-shell-prompt", node, "$ ").setAttribute("aria-hidden", "true");
  for (const [kind, token] of shellTokens(clean.slice(0, COLOURED))) {
    if (kind) element("span", `agent-shell-${kind}`, node, token);
    else node.append(token);
  }
  node.append(clean.slice(COLOURED));
}
