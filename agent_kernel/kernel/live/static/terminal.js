// The files of this folder are joined in the order terminal, shell, markdown, items, live (see live.py). Text
// from models and commands is only ever set as the textContent of a node.

const LINES = 1000; // kept by a terminal
const LINE_LENGTH = 2000; // characters; a longer line continues on the next
const LINE_SPANS = 100; // changes of style in one line; after that the last style stays
const UNFINISHED = 200; // characters of an escape sequence that may not have arrived yet

const TOKEN =
  /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-OQ-WYZ\\`-~]|\r*\n|\r|[^\x1b\r\n]+|\x1b/g;
const OPEN_END = /(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)|\r)$/;
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function element(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

// Spells out characters that are invisible or reverse the text direction, as the final outputs do.
function spelled(text) {
  return text.replace(UNSEEN, (one) => {
    const code = one.charCodeAt(0);
    return code < 0x100 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
  });
}

// Removes escape sequences from a text that is shown without colours.
function readable(text) {
  return spelled(text.replace(/\r+\n/g, "\n").replace(TOKEN, (token) => (/^[\x1b\r]/.test(token) ? "" : token)));
}

const CUBE = [0, 95, 135, 175, 215, 255];

function paletteColour(number) {
  if (number < 16) return number;
  if (number > 231) return Array(3).fill(8 + 10 * (number - 232));
  const place = number - 16;
  return [CUBE[Math.floor(place / 36)], CUBE[Math.floor(place / 6) % 6], CUBE[place % 6]];
}

// Parses 38;5;n or 38;2;r;g;b at `at`: the colour, and how many numbers it used.
function extendedColour(codes, at) {
  const ok = (value) => Number.isInteger(value) && value >= 0 && value < 256;
  if (codes[at + 1] === 5 && ok(codes[at + 2])) return [paletteColour(codes[at + 2]), 2];
  const rgb = codes.slice(at + 2, at + 5);
  if (codes[at + 1] === 2 && rgb.length === 3 && rgb.every(ok)) return [rgb, 4];
  return [null, codes.length];
}

const SWITCHES = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const SWITCHED_OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"] };

// SGR: returns the style after `codes`.
function nextLook(look, codes) {
  let next = { ...look };
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at];
    if (code === 0) next = {};
    else if (SWITCHES[code]) next[SWITCHES[code]] = true;
    else if (SWITCHED_OFF[code]) for (const name of SWITCHED_OFF[code]) delete next[name];
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
    else if (code === 39) delete next.fg;
    else if (code === 49) delete next.bg;
    else if (code === 38 || code === 48) {
      const [colour, taken] = extendedColour(codes, at);
      if (colour !== null) next[code === 38 ? "fg" : "bg"] = colour;
      at += taken;
    }
  }
  return next;
}

function dress(span, look) {
  const names = Object.values(SWITCHES).filter((name) => look[name]);
  let { fg, bg } = look;
  if (look.inverse) [fg, bg] = [bg ?? "page", fg ?? "text"];
  for (const [property, colour] of [["color", fg], ["background-color", bg]]) {
    if (Array.isArray(colour)) span.style.setProperty(property, `rgb(${colour.join(",")})`);
    else if (colour !== undefined) names.push(`${property === "color" ? "fg" : "bg"}-${colour}`);
  }
  span.className = names.map((name) => `agent-ansi-${name}`).join(" ");
}

// A scrolling text pane. It stays at its end unless the user has scrolled away.
class Terminal {
  constructor(className, label, parent) {
    this.node = element("div", `agent-live-terminal ${className}`, parent);
    this.node.tabIndex = 0; // can be scrolled with the keyboard
    this.node.setAttribute("role", "log");
    this.node.setAttribute("aria-live", "off"); // screen readers cannot follow fast output
    this.node.setAttribute("aria-label", label);
    this.sticks = true;
    this.node.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.node;
      this.sticks = scrollHeight - scrollTop - clientHeight < 30;
    });
    this.reset(false);
  }

  reset(cut) {
    this.node.replaceChildren();
    this.note = element("div", "agent-live-quiet", this.node, cut ? "… earlier output is not shown while it runs" : "");
    this.note.hidden = !cut;
    this.dropped = 0;
    this.rest = "";
    this.look = {};
    this.newLine();
  }

  newLine() {
    this.line = element("div", "agent-live-line", this.node);
    this.length = 0;
    this.spans = 0;
    this.span = null;
    this.returned = false;
    if (this.node.childElementCount > LINES + 1) {
      this.node.children[1].remove();
      this.dropped += 1;
    }
  }

  write(text) {
    text = this.rest + text;
    const open = OPEN_END.exec(text.slice(-UNFINISHED));
    this.rest = open ? open[0] : "";
    for (const token of text.slice(0, text.length - this.rest.length).matchAll(TOKEN)) this.take(token);
    if (this.dropped) {
      this.note.textContent = `… ${this.dropped.toLocaleString("en")} earlier lines are not shown while it runs`;
      this.note.hidden = false;
    }
    if (this.sticks) this.node.scrollTop = this.node.scrollHeight;
  }

  take([token, codes, final]) {
    if (token.endsWith("\n")) this.newLine();
    else if (token === "\r") this.returned = true;
    else if (final === "m") {
      this.look = nextLook(this.look, codes.split(/[;:]/).map(Number));
      this.span = null;
    } else if (token[0] !== "\x1b") this.print(spelled(token));
  }

  print(text) {
    if (this.returned) {
      this.line.replaceChildren();
      this.length = this.spans = 0;
      this.span = null;
      this.returned = false;
    }
    for (let at = 0; at < text.length; ) {
      if (this.length >= LINE_LENGTH) this.newLine();
      const piece = text.slice(at, at + LINE_LENGTH - this.length);
      if (!this.span && (this.spans < LINE_SPANS || !this.line.lastChild)) {
        this.span = element("span", "", this.line);
        dress(this.span, this.look);
        this.spans += 1;
      }
      (this.span || this.line.lastChild).append(piece);
      this.length += piece.length;
      at += piece.length;
    }
  }
}
