/** Elements of the page. Text goes in as text, never as markup: it may come from a model or a file. */

export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  className: string,
  parent?: HTMLElement,
  text?: string,
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

/** A button with a label. */
export function button(
  label: string,
  parent: HTMLElement,
  act: () => void,
  className = "",
): HTMLButtonElement {
  const made = element("button", `jp-agent-button ${className}`.trim(), parent, label);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

const PIECE = /\\([!-/:-@[-`{-~])|(`+)|[^\\`]+|\\/y;

/** Adds a sentence of the kernel's Markdown, of which only code between backticks is shown as such. */
export function prose(text: string, parent: HTMLElement): void {
  const shown = readable(text);
  const open = new Set<string>(); // runs of backticks that nothing closes
  PIECE.lastIndex = 0;
  for (let found = PIECE.exec(shown); found; found = PIECE.exec(shown)) {
    const [piece, escaped, ticks] = found;
    const start = PIECE.lastIndex;
    const end = ticks && !open.has(ticks) ? closing(shown, ticks, start) : -1;
    if (!ticks || end < 0) {
      parent.append(escaped ?? piece);
      if (ticks) open.add(ticks);
    } else {
      const code = shown.slice(start, end).replace(/^ (.*\S.*) $/s, "$1");
      element("code", "jp-agent-code", parent, code);
      PIECE.lastIndex = end + ticks.length;
    }
  }
  parent.normalize();
}

/** Where the run of backticks is that ends the code which begins at `start`; -1 if there is none. */
function closing(text: string, ticks: string, start: number): number {
  for (const found of text.slice(start).matchAll(/`+/g)) {
    if (found[0] === ticks) return start + found.index;
  }
  return -1;
}

const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}]/gu;

/** Text with invisible characters made visible, so that a command cannot hide a part of itself. */
export function readable(text: string): string {
  return text.replace(UNSEEN, (found) => `\\u{${found.codePointAt(0)?.toString(16) ?? ""}}`);
}
