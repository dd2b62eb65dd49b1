"""Files of the container that a message names: where, and as what they are cited."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from openai.types.responses.response_output_text import AnnotationContainerFileCitation

MOST = 50
"""Files that one message is searched for."""

_NAMED = re.compile(r"(?:sandbox:)?(/mnt/data/[^\s()<>\[\]{}\"'`|*\\]+)")
_AROUND = ".,;:!?"
"""What may follow a path in a sentence, and is no part of it."""


class Citations:
    """Of one response.

    Whether a file is there only the container knows: whoever feeds the model's words asks `unknown` before
    the message ends, and answers with `found`.
    """

    def __init__(self) -> None:
        self._container_id = ""
        self.text = ""
        """Of the message part that is open."""
        self._known: dict[str, str | None] = {}

    def unknown(self) -> list[str]:
        """Return paths in the open text of which it is not known whether they are files."""
        if "/mnt/data/" not in self.text:
            return []
        paths = dict.fromkeys(path for path, _, _ in _named(self.text))
        return [path for path in paths if path not in self._known][:MOST]

    def found(self, container_id: str, files: Mapping[str, str | None]) -> None:
        """Whose files they are, and their ids by path; None for what is no file."""
        self._container_id = container_id
        self._known.update(files)

    def annotations(self) -> list[AnnotationContainerFileCitation]:
        """For the open text; `start_index` and `end_index` are as in a slice."""
        made = []
        for path, start, end in _named(self.text):
            file_id = self._known.get(path)
            if file_id is not None:
                made.append(
                    AnnotationContainerFileCitation.construct(
                        type="container_file_citation",
                        container_id=self._container_id,
                        file_id=file_id,
                        filename=posixpath.basename(path),
                        start_index=start,
                        end_index=end,
                    )
                )
        return made

    def close(self) -> None:
        """The part has ended. The next one is looked at anew: files come and go."""
        self.text = ""
        self._known.clear()


def _named(text: str) -> list[tuple[str, int, int]]:
    """Return each path that the text names, and where, with `sandbox:` before it if that is there."""
    found = []
    for match in _NAMED.finditer(text):
        path = match[1].rstrip(_AROUND)
        if posixpath.normpath(path) == path and path != "/mnt/data":
            found.append((path, match.start(), match.start(1) + len(path)))
    return found
