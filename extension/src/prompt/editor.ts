/** The editor of a prompt: wrapped, in the font of text, with a placeholder and colours. */

import {
  Compartment,
  type EditorState,
  type Extension,
  RangeSetBuilder,
  StateEffect,
} from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import type { TranslationBundle } from "@jupyterlab/translation";

import { kindOf, NAMES, read } from "./kinds";
import { suggestions } from "./suggestions";

const MENTION = /(?<![\w@\\./+-])@(?:"[^"\n]+"|'[^'\n]+'|(?:\\ |[^\s"'`@])(?:\\ |[^\s"`@])*)/g;
const AFTER = /(?<=[^"'])[.,;:!?)\]}>’*_]+$/;
const MOST_LINES = 2000;

const line = Decoration.mark({ class: "jp-agent-top" });
const command = Decoration.mark({ class: "jp-agent-command" });
const mention = Decoration.mark({ class: "jp-agent-mention" });

/** Marks `%name`, `!command` and `@file`. Long texts are left as they are below `MOST_LINES`. */
function marks(state: EditorState): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  const lines: string[] = [];
  for (let number = 1; number <= Math.min(state.doc.lines, MOST_LINES); number++) {
    lines.push(state.doc.line(number).text);
  }
  const { top, prompt } = read(lines);
  for (const each of top) {
    const last = each.type === "cell magic" ? each.from + 1 : each.to;
    for (let at = each.from; at < last; at++) {
      const { from, to, text } = state.doc.line(at + 1);
      const start = from + text.length - text.trimStart().length;
      const end = each.type === "command" ? to : start + text.trim().split(/\s/, 1).join("").length;
      if (end > start) builder.add(start, end, each.type === "command" ? command : line);
    }
  }
  for (let at = prompt; at < lines.length; at++) {
    const { from, text } = state.doc.line(at + 1);
    for (const found of text.matchAll(MENTION)) {
      const name = found[0].replace(AFTER, "");
      if (name.length > 1) builder.add(from + found.index, from + found.index + name.length, mention);
    }
  }
  return builder.finish();
}

const colours = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = marks(view.state);
    }

    update(update: ViewUpdate): void {
      if (update.docChanged) this.decorations = marks(update.state);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

/** Prose wraps; commands and code do not. The label says what the cell is: JupyterLab gives none. */
function contents(trans: TranslationBundle): Extension {
  return EditorView.contentAttributes.compute(["doc"], (state): Record<string, string> => {
    const kind = kindOf(state.doc.toString());
    const label = { "aria-label": trans.__("Cell: %1", trans.__(NAMES[kind])) };
    return kind === "prompt" ? { ...label, class: "cm-lineWrapping jp-agent-prose" } : label;
  });
}

/** What is added to the editor of one cell. */
export class EditorDress {
  constructor(private readonly _view: EditorView) {}

  /** Adds it, or changes the examples of what was added. */
  put(examples: readonly string[], trans: TranslationBundle): void {
    this._set([contents(trans), colours, suggestions(examples, trans)]);
  }

  /** Takes it off again: the notebook has another kernel. */
  remove(): void {
    this._set([]);
  }

  private _set(extension: Extension): void {
    const known = this._slot.get(this._view.state) !== undefined;
    this._view.dispatch({
      effects: known
        ? this._slot.reconfigure(extension)
        : StateEffect.appendConfig.of(this._slot.of(extension)),
    });
  }

  private readonly _slot = new Compartment();
}
