/** Completion that says what each offer is: `%` lines, files with type and size, models, variables. */

import type { JupyterFrontEndPlugin } from "@jupyterlab/application";
import {
  Completer,
  type CompletionHandler,
  type ICompletionContext,
  type ICompletionProvider,
  ICompletionProviderManager,
  KernelCompleterProvider,
} from "@jupyterlab/completer";

import { fields, text } from "../connection/messages";
import { IAgentNotebooks } from "../connection/plugin";
import { element } from "../dom";

const LONGEST = 90;

interface Offer extends CompletionHandler.ICompletionItem {
  /** One line about it. */
  about?: string;
}

/** JupyterLab's list, with the line about an offer where others show only its type. */
class OfferRenderer extends Completer.Renderer {
  override createCompletionItemNode(item: Offer, orderedTypes: string[]): HTMLLIElement {
    const node = super.createCompletionItemNode(item, orderedTypes);
    if (!item.about) return node;
    node.title = item.about;
    node.classList.add("jp-agent-offer");
    node.querySelector(".jp-Completer-typeExtended")?.remove();
    element("span", "jp-Completer-typeExtended jp-agent-about", node, item.about);
    return node;
  }

  override itemWidthHeuristic(item: Offer): number {
    return super.itemWidthHeuristic(item) + Math.min(item.about?.length ?? 0, LONGEST);
  }
}

class Offers implements ICompletionProvider<Offer> {
  constructor(private readonly _notebooks: IAgentNotebooks) {}

  readonly identifier = "jupyter-agent-kernel:completion";
  /** The first active provider draws the list everywhere; the debugger's has 1000. */
  readonly rank = 1100;
  readonly renderer = new OfferRenderer();

  isApplicable(context: ICompletionContext): Promise<boolean> {
    const ours = this._notebooks.all.some((each) => each.isOurs && each.panel === context.widget);
    return Promise.resolve(ours && context.session?.kernel != null);
  }

  async fetch(
    request: CompletionHandler.IRequest,
    context: ICompletionContext,
  ): Promise<CompletionHandler.ICompletionItemsReply<Offer>> {
    const kernel = context.session?.kernel;
    const reply = await kernel?.requestComplete({ code: request.text, cursor_pos: request.offset });
    const content = reply?.content;
    if (content?.status !== "ok") return { start: request.offset, end: request.offset, items: [] };
    const described = content.metadata["_jupyter_types_experimental"];
    const about: unknown[] = Array.isArray(described) ? described : [];
    const items = content.matches.map((label, at) => offer(label, about[at]));
    return { start: content.cursor_start, end: content.cursor_end, items };
  }

  /** The help on an offer, for JupyterLab's documentation panel. */
  resolve(item: Offer, context: ICompletionContext, patch?: Completer.IPatch | null): Promise<Offer> {
    return this._kernels.resolve(item, context, patch);
  }

  private readonly _kernels = new KernelCompleterProvider();
}

function offer(label: string, described: unknown): Offer {
  const given = fields(described);
  const type = text(given["type"]);
  return type ? { label, type, insertText: label, about: text(given["description"]) } : { label };
}

export const completion: JupyterFrontEndPlugin<void> = {
  id: "jupyter-agent-kernel:completion",
  description: "Says what each completion in a cell of an Agent notebook is.",
  autoStart: true,
  requires: [IAgentNotebooks],
  optional: [ICompletionProviderManager],
  activate: (_app, notebooks: IAgentNotebooks, completers: ICompletionProviderManager | null) => {
    completers?.registerProvider(new Offers(notebooks));
  },
};
