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

/** Adds a sentence of the kernel's Markdown, of which only code between backticks is shown as such. */
export function prose(text: string, parent: HTMLElement): void {
  readable(text)
    .split("`")
    .forEach((part, number) => {
      if (part) parent.append(number % 2 ? element("code", "jp-agent-code", undefined, part) : part);
    });
}

const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}]/gu;

/** Text with invisible characters made visible, so that a command cannot hide a part of itself. */
export function readable(text: string): string {
  return text.replace(UNSEEN, (found) => `\\u{${found.codePointAt(0)?.toString(16) ?? ""}}`);
}
