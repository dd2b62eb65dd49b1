/** What an empty prompt offers: a placeholder, and examples that a click or Tab puts in. */

import { type Extension, Prec } from "@codemirror/state";
import { type EditorView, keymap, placeholder } from "@codemirror/view";
import type { TranslationBundle } from "@jupyterlab/translation";

import { button, element } from "../dom";

/** The placeholder, and Tab, which takes the first example. */
export function suggestions(examples: readonly string[], trans: TranslationBundle): Extension {
  const [first] = examples;
  if (first === undefined) return [];
  return [
    placeholder(trans.__("Ask a question, for example: %1", first)),
    Prec.highest(keymap.of([{ key: "Tab", run: (view) => put(view, first) }])),
  ];
}

/** Puts a text into an empty editor. Returns false if it is not empty. */
function put(view: EditorView, text: string): boolean {
  if (view.state.doc.length || view.state.readOnly) return false;
  view.dispatch({ changes: { from: 0, insert: text }, selection: { anchor: text.length } });
  view.focus();
  return true;
}

/** A row of buttons. It must be outside the editor: JupyterLab gives the editor any focus inside it. */
export function row(view: EditorView, examples: readonly string[], trans: TranslationBundle): HTMLElement {
  const made = element("div", "jp-agent-examples");
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", trans.__("Example questions"));
  for (const example of examples) button(example, made, () => put(view, example), "jp-agent-example");
  element("span", "jp-agent-examples-key", made, trans.__("Press Tab for the first"));
  return made;
}
