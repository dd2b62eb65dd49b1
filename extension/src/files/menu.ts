/** What can be done with a file or a folder, as a menu. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { TranslationBundle } from "@jupyterlab/translation";
import { Menu } from "@lumino/widgets";

import type { Entry } from "./read";

/** What the person may ask of a file or a folder. */
export interface EntryActions {
  open(entry: Entry): void;
  openText(entry: Entry): void;
  mention(entry: Entry): void;
  download(entry: Entry): void;
  rename(entry: Entry): Promise<void>;
  remove(entry: Entry): Promise<void>;
}

export class FileMenu {
  constructor(
    private readonly _commands: JupyterFrontEnd["commands"],
    actions: EntryActions,
    trans: TranslationBundle,
  ) {
    this._menu = new Menu({ commands: _commands });
    this._menu.addClass("jp-agent-file-menu");
    this._menu.aboutToClose.connect(() => this._from?.focus());
    this._add("open", trans.__("Open"), (entry) => actions.open(entry), true);
    this._add("open-text", trans.__("Open as text"), (entry) => actions.openText(entry));
    this._add("mention", trans.__("Mention in the cell"), (entry) => actions.mention(entry), true);
    this._add("download", trans.__("Download"), (entry) => actions.download(entry));
    this._add("rename", trans.__("Rename …"), (entry) => void actions.rename(entry));
    this._add("delete", trans.__("Delete …"), (entry) => void actions.remove(entry), true);
  }

  /** Shows the menu for a file or a folder, below the button that asked for it. */
  open(entry: Entry, from: HTMLElement): void {
    this._entry = entry;
    this._from = from;
    const { left, bottom } = from.getBoundingClientRect();
    this._menu.open(left, bottom);
    this._menu.activateNextItem();
  }

  private _add(name: string, label: string, act: (entry: Entry) => void, folders = false): void {
    const command = `agent-kernel:file-${name}`;
    this._commands.addCommand(command, {
      label,
      isVisible: () => folders || this._entry?.files === null,
      execute: () => {
        if (this._entry) act(this._entry);
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    this._menu.addItem({ command });
  }

  private readonly _menu: Menu;
  private _entry: Entry | null = null;
  private _from: HTMLElement | null = null;
}
