/** A viewer for Markdown of a container: nothing in it runs, and nothing is fetched from elsewhere. */

import type { DocumentRegistry } from "@jupyterlab/docregistry";
import { type MimeDocument, MimeDocumentFactory } from "@jupyterlab/docregistry";
import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";

import { PREVIEW_EXTENSION, PREVIEW_FACTORY } from "./viewers";

const TYPE = "container-markdown";
const ADDRESSES = [
  "src",
  "srcset",
  "poster",
  "background",
  "data",
  "action",
  "formaction",
  "xlink:href",
  "style",
];

/** JupyterLab's sanitizer, and then no address but that of a web link, which is there to be followed. */
class NothingFetched implements IRenderMime.ISanitizer {
  constructor(private readonly _inner: IRenderMime.ISanitizer) {}

  readonly allowNamedProperties = false;
  readonly allowCommandLinker = false;

  sanitize(dirty: string, options?: IRenderMime.ISanitizerOptions): string {
    const body = new DOMParser().parseFromString(this._inner.sanitize(dirty, options), "text/html").body;
    for (const element of body.querySelectorAll("*")) {
      for (const name of ADDRESSES) {
        if (!isPicture(element, name)) element.removeAttribute(name);
      }
      const link = element.getAttribute("href");
      if (link !== null && !/^(https?:|#)/i.test(link)) element.removeAttribute("href");
    }
    // eslint-disable-next-line no-restricted-properties -- it is read: the sanitizer's own interface is a text
    return body.innerHTML;
  }
}

/** Whether it is a picture whose bytes are in the text itself. */
function isPicture(element: Element, name: string): boolean {
  const value = element.getAttribute(name) ?? "";
  return element.localName === "img" && name === "src" && /^data:image\/(png|jpeg|gif|webp);/i.test(value);
}

/** Formulas stay text: MathJax makes links of what they say. */
const NO_FORMULAS: IRenderMime.ILatexTypesetter = { typeset: () => undefined };

/** Registers the viewer; files of a container open in it under a name of its own. */
export function addMarkdownViewer(registry: DocumentRegistry, rendermime: IRenderMimeRegistry): void {
  registry.addFileType({
    name: TYPE,
    displayName: "Markdown of a container",
    extensions: [PREVIEW_EXTENSION],
    mimeTypes: ["text/markdown"],
    contentType: "file",
    fileFormat: "text",
  });
  const viewer = new MimeDocumentFactory({
    name: PREVIEW_FACTORY,
    primaryFileType: registry.getFileType(TYPE),
    fileTypes: [TYPE],
    defaultFor: [TYPE],
    readOnly: true,
    rendermime: rendermime.clone({
      sanitizer: new NothingFetched(rendermime.sanitizer),
      latexTypesetter: NO_FORMULAS,
    }),
  });
  viewer.widgetCreated.connect((_, widget) => widget.addClass("jp-agent-markdown"));
  registry.addWidgetFactory(viewer as DocumentRegistry.IWidgetFactory<MimeDocument, DocumentRegistry.IModel>);
}
