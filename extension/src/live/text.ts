/** Text of models and commands: control sequences taken out, invisible characters spelled out. */

export const TOKEN =
  // eslint-disable-next-line no-control-regex
  /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-OQ-WYZ\\`-~]|\r*\n|\r|[^\x1b\r\n]+|\x1b/g;

// eslint-disable-next-line no-control-regex
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Spells out characters that are invisible or reverse the text's direction, as the final outputs do. */
export function spelled(text: string): string {
  return text.replace(UNSEEN, (one) => {
    const code = one.charCodeAt(0).toString(16);
    return code.length < 3 ? "\\x" + code.padStart(2, "0") : "\\u" + code.padStart(4, "0");
  });
}

/** Returns a text that is shown without colours. */
export function readable(text: string): string {
  const plain = text.replace(/\r+\n/g, "\n").replace(TOKEN, (token) => (isControl(token) ? "" : token));
  return spelled(plain);
}

function isControl(token: string): boolean {
  return token.startsWith("\x1b") || token.startsWith("\r");
}

export function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}
