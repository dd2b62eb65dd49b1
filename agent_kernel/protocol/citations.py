"""Citations: of container files that a message names, pictures before it, searched files, and web pages."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from openai.types.responses.response_output_text import (
    AnnotationContainerFileCitation,
    AnnotationFileCitation,
    AnnotationFilePath,
    AnnotationURLCitation,
)

Annotation: TypeAlias = (
    AnnotationContainerFileCitation | AnnotationFileCitation | AnnotationFilePath | AnnotationURLCitation
)

_TYPES: dict[str, type[Annotation]] = {
    "container_file_citation": AnnotationContainerFileCitation,
    "file_citation": AnnotationFileCitation,
    "file_path": AnnotationFilePath,
    "url_citation": AnnotationURLCitation,
}

MOST = 50
"""Maximum number of files looked up at a time for a message."""

_NAMED = re.compile(r"(?:sandbox:)?(/mnt/data/[^\s()<>\[\]{}\"'`|*\\]+)")
_MARKDOWN = r"\[[^\[\]\n]{1,300}\]\((https?://(?:[^\s()<>]|\([^\s()<>]{0,200}\)){1,2048})\)"
_LINK = re.compile(rf"\({_MARKDOWN}\)|{_MARKDOWN}")
"""A Markdown link, with the round brackets around it if there are any."""
_AROUND = ".,;:!?"
"""Punctuation that may follow a path in a sentence and is not part of it."""


@dataclass(frozen=True)
class CitedFile:
    """A file that was searched. The model cites it by writing its `label` in square brackets."""

    label: str
    file_id: str
    filename: str


@dataclass(frozen=True)
class CitedPage:
    """A web page that was found or read. The model cites it by a Markdown link to its address."""

    url: str
    title: str


class Citations:
    """The citations of one response.

    Only the container knows which files exist. Before a message ends, the caller of the assembler looks up
    the paths in `unknown` and passes the result to `found`.
    """

    def __init__(self) -> None:
        self._container_id = ""
        self._pieces: list[str] = []
        self._known: dict[str, str | None] = {}
        self._shown: dict[str, None] = {}
        self._given: list[Annotation] = []
        self._sources: dict[str, CitedFile] = {}
        self._pages: dict[str, CitedPage] = {}

    @property
    def text(self) -> str:
        """Text of the open message part."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def write(self, text: str) -> None:
        """Add to the text of the open message part."""
        self._pieces.append(text)

    def search(self, sources: Iterable[CitedFile | CitedPage]) -> None:
        """Let messages from now on cite these. Of two files with one label, the newer counts."""
        for each in sources:
            if isinstance(each, CitedPage):
                self._pages[_same(each.url)] = each
            else:
                self._sources[f"[{each.label}]"] = each

    def give(self, annotation: Mapping[str, Any]) -> None:
        """Add an annotation that an upstream made in the open text. Its `type` is one of the API's."""
        self._given.append(_TYPES[annotation["type"]].construct(**annotation))

    def show(self, path: str) -> None:
        """Cite a picture at the beginning of the next text that ends, unless the text names its file."""
        self._shown[path] = None

    def unknown(self) -> list[str]:
        """Return the paths in the open text that have not been looked up."""
        if not self.text or ("/mnt/data/" not in self.text and not self._shown):
            return []
        paths = {**dict.fromkeys(path for path, _, _ in _named(self.text)), **self._shown}
        return [path for path in paths if path not in self._known][:MOST]

    def found(self, container_id: str, files: Mapping[str, str | None]) -> None:
        """Record the ids of files by their path; None for a path that is not a file."""
        self._container_id = container_id
        self._known.update(files)

    def annotations(self) -> list[Annotation]:
        """Return the annotations of the open text, an upstream's own first.

        `start_index` and `end_index` are those of a slice.

        The `index` of a `file_citation` is the place behind the name that cites the file.
        """
        cited = self._cited() if self._sources and "[" in self.text else []
        return [*self._given, *self._files(), *cited, *(self._linked() if self._pages else ())]

    def _linked(self) -> list[AnnotationURLCitation]:
        """Return the links to pages that were found or read; others are the model's own."""
        found = [(page, match) for match in _LINK.finditer(self.text) if (page := self._page(match))]
        return [
            AnnotationURLCitation.construct(
                type="url_citation",
                url=page.url,
                title=page.title,
                start_index=match.start(),
                end_index=match.end(),
            )
            for page, match in found
        ]

    def _page(self, link: re.Match[str]) -> CitedPage | None:
        return self._pages.get(_same(link[1] or link[2]))

    def _cited(self) -> list[AnnotationFileCitation]:
        names = "|".join(sorted(map(re.escape, self._sources), key=len, reverse=True))
        found = [(self._sources[match[0]], match.end()) for match in re.finditer(names, self.text)]
        return [
            AnnotationFileCitation.construct(
                type="file_citation", file_id=source.file_id, filename=source.filename, index=end
            )
            for source, end in found
        ]

    def _files(self) -> list[AnnotationContainerFileCitation]:
        named = _named(self.text)
        paths = {path for path, _, _ in named}
        places = [*((path, 0, 0) for path in self._shown if path not in paths), *named]
        return [
            self._citation(file_id, path, start, end)
            for path, start, end in places
            if (file_id := self._known.get(path)) is not None
        ]

    def _citation(self, file_id: str, path: str, start: int, end: int) -> AnnotationContainerFileCitation:
        own = file_id + posixpath.splitext(path)[1]  # as the API names a picture that has no name
        return AnnotationContainerFileCitation.construct(
            type="container_file_citation",
            container_id=self._container_id,
            file_id=file_id,
            filename=posixpath.basename(path) if end else own,
            start_index=start,
            end_index=end,
        )

    def close(self) -> None:
        """End the part and forget its lookups, as files can appear and disappear."""
        if self.text:
            self._shown.clear()
        self._pieces.clear()
        self._known.clear()
        self._given.clear()


def _same(url: str) -> str:
    """Return an address as it is compared: models drop the slash at its end, and add fragments."""
    return url.partition("#")[0].rstrip("/")


def _named(text: str) -> list[tuple[str, int, int]]:
    """Return each path in the text with its start and end; the start includes a `sandbox:` before it."""
    found = []
    for match in _NAMED.finditer(text):
        path = match[1].rstrip(_AROUND)
        if posixpath.normpath(path) == path and path != "/mnt/data":
            found.append((path, match.start(), match.start(1) + len(path)))
    return found
