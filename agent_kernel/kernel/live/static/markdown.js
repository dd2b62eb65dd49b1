// Draws an answer's Markdown while it is being written: the usual blocks and spans, one node at a time. Raw HTML
// is not supported, no picture is fetched, and links must use http, https or mailto. When the turn has ended, the
// kernel's own renderer takes over.

const DEEPEST = 8; // quotes in lists in quotes
const REACH = 2000; // characters in which an emphasis or a link must end

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+.#-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(\s+|$)/;
const DELIMITERS = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

// Returns the kind and the end of the block that begins at line `at`.
function blockAt(lines, at) {
  const first = lines[at];
  const until = (ends) => {
    let end = at + 1;
    while (end < lines.length && !ends(lines[end], end)) end += 1;
    return end;
  };
  const fence = FENCE.exec(first);
  if (fence) {
    const end = until((line) => line.trim().startsWith(fence[1]) && /^[`~]+$/.test(line.trim()));
    return ["code", Math.min(end + 1, lines.length)];
  }
  if (HEADING.test(first)) return ["heading", at + 1];
  if (RULE.test(first)) return ["rule", at + 1];
  if (QUOTE.test(first)) return ["quote", until((line) => !QUOTE.test(line))];
  if (ITEM.test(first)) {
    const goesOn = (line) => ITEM.test(line) || /^\s/.test(line);
    return ["list", until((line, i) => (line.trim() ? !lines[i - 1].trim() && !goesOn(line) : !lines[i + 1] || !goesOn(lines[i + 1])))];
  }
  if (first.includes("|") && DELIMITERS.test(lines[at + 1] || "")) {
    return ["table", until((line) => !line.includes("|"))];
  }
  const starts = (line) => FENCE.test(line) || HEADING.test(line) || QUOTE.test(line) || ITEM.test(line) || RULE.test(line);
  return ["paragraph", until((line) => !line.trim() || starts(line))];
}

function blocksOf(text) {
  const lines = text.split("\n");
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (!lines[at].trim()) at += 1;
    else {
      const [kind, end] = blockAt(lines, at);
      blocks.push([kind, lines.slice(at, end)]);
      at = end;
    }
  }
  return blocks;
}

const BLOCKS = {
  code(lines) {
    const mark = FENCE.exec(lines[0])[1];
    const closed = lines.length > 1 && lines[lines.length - 1].trim().startsWith(mark);
    const node = element("pre", "agent-live-code");
    element("code", "", node, lines.slice(1, closed ? -1 : undefined).join("\n"));
    return node;
  },
  heading(lines) {
    const [, marks, text] = HEADING.exec(lines[0]);
    const node = element(`h${marks.length}`, "");
    spans(node, text, 0);
    return node;
  },
  rule: () => element("hr", ""),
  quote(lines, depth) {
    const node = element("blockquote", "");
    blocks(node, lines.map((line) => line.replace(QUOTE, "")).join("\n"), depth + 1);
    return node;
  },
  list(lines, depth) {
    const [, indent, mark] = ITEM.exec(lines[0]);
    const node = element(/\d/.test(mark) ? "ol" : "ul", "");
    if (/\d/.test(mark)) node.start = parseInt(mark, 10);
    const items = [];
    for (const line of lines) {
      const item = ITEM.exec(line);
      if (item && (item[1].length <= indent.length || !items.length)) items.push([line.slice(item[0].length)]);
      else items[items.length - 1].push(line.replace(/^\s{1,4}/, ""));
    }
    for (const item of items) blocks(element("li", "", node), item.join("\n"), depth + 1);
    return node;
  },
  table(lines) {
    const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/);
    const node = element("table", "");
    const body = element("tbody", "", node);
    lines.forEach((line, number) => {
      if (number === 1) return;
      const row = element("tr", "", number ? body : element("thead", "", node));
      for (const cell of cells(line)) spans(element(number ? "td" : "th", "", row), cell.trim(), 0);
    });
    node.append(body);
    return node;
  },
  paragraph(lines) {
    const node = element("p", "");
    spans(node, lines.join("\n"), 0);
    return node;
  },
};

function blocks(parent, text, depth) {
  if (depth > DEEPEST) {
    parent.append(text);
    return;
  }
  const found = blocksOf(text);
  for (const [kind, lines] of found) {
    const alone = kind === "paragraph" && found.length === 1 && parent.tagName === "LI";
    if (alone) spans(parent, lines.join("\n"), 0);
    else parent.append(BLOCKS[kind](lines, depth));
  }
}

function link(parent, text, address, depth) {
  let url = null;
  try {
    url = new URL(address);
  } catch {
    // no address: show only the text
  }
  const allowed = url && ["http:", "https:", "mailto:"].includes(url.protocol);
  const node = element(allowed ? "a" : "span", "", parent);
  if (allowed) {
    node.href = url.href;
    node.target = "_blank";
    node.rel = "noopener noreferrer";
    node.title = url.href;
  }
  spans(node, text, depth + 1);
}

const EMPHASIS = [["**", "strong"], ["__", "strong"], ["~~", "s"], ["*", "em"], ["_", "em"]];

// Appends the markup at `at` to `parent` and returns its length, or 0 if there is none.
function spanAt(parent, text, at, depth) {
  const rest = text.slice(at, at + REACH);
  const escaped = /^\\([!-/:-@[-`{-~])/.exec(rest);
  if (escaped) {
    parent.append(escaped[1]);
    return 2;
  }
  const broken = /^(?: {2,}|\\)\n/.exec(rest);
  if (broken) {
    element("br", "", parent);
    return broken[0].length;
  }
  const code = /^(`+)(?!`)([^]*?[^`])\1(?!`)/.exec(rest);
  if (code) {
    element("code", "", parent, code[2].replace(/\n/g, " ").replace(/^ (.*) $/, "$1"));
    return code[0].length;
  }
  if (rest[0] === "`") {
    const run = /^`+/.exec(rest)[0];
    parent.append(run);
    return run.length;
  }
  const linked = /^!?\[((?:\\.|[^[\]\\])*)\]\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?[^()\n]*\)/.exec(rest);
  if (linked) {
    link(parent, linked[1] || linked[2], linked[2], depth);
    return linked[0].length;
  }
  const automatic = /^<((?:https?:\/\/|mailto:)[^\s<>]+)>/i.exec(rest);
  if (automatic) {
    link(parent, automatic[1], automatic[1], DEEPEST);
    return automatic[0].length;
  }
  for (const [mark, tag] of EMPHASIS) {
    if (!rest.startsWith(mark) || /^\s|^$/.test(rest.slice(mark.length, mark.length + 1))) continue;
    if (mark[0] === "_" && /\w/.test(text[at - 1] || "")) continue; // snake_case
    const end = rest.indexOf(mark, mark.length + 1);
    if (end < 0 || /\s/.test(rest[end - 1])) continue;
    if (mark[0] === "_" && /\w/.test(rest[end + mark.length] || "")) continue;
    spans(element(tag, "", parent), rest.slice(mark.length, end), depth + 1);
    return end + mark.length;
  }
  return 0;
}

function spans(parent, text, depth) {
  if (depth > DEEPEST) {
    parent.append(text);
    return;
  }
  const special = /[\\`*_~[!<]| {2,}\n/g;
  let done = 0;
  for (let found = special.exec(text); found; found = special.exec(text)) {
    const made = document.createDocumentFragment();
    const length = spanAt(made, text, found.index, depth);
    if (!length) continue;
    parent.append(text.slice(done, found.index), made);
    done = found.index + length;
    special.lastIndex = done;
  }
  parent.append(text.slice(done));
}

// Draws a growing text: only the blocks that changed are rebuilt.
class Markdown {
  constructor(parent) {
    this.node = element("div", "agent-live-message", parent);
    this.sources = [];
  }

  draw(text) {
    const found = blocksOf(readable(text));
    found.forEach(([kind, lines], number) => {
      const source = `${kind}\n${lines.join("\n")}`;
      if (this.sources[number] === source) return;
      this.sources[number] = source;
      const made = BLOCKS[kind](lines, 0);
      const old = this.node.children[number];
      if (old) old.replaceWith(made);
      else this.node.append(made);
    });
    this.sources.length = found.length;
    while (this.node.children.length > found.length) this.node.lastChild.remove();
  }
}
