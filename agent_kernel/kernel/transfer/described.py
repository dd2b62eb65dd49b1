"""Describe an uploaded table, to the user and to the model in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_kernel.errors import AgentKernelError

if TYPE_CHECKING:
    from openai.types.containers import FileCreateResponse

    from agent_kernel.kernel.transfer.base import FileSharer


@dataclass(frozen=True)
class Description:
    """What a file contains; both texts are empty for a file that is not a table."""

    for_user: str = ""
    for_model: str = ""


async def describe(notebook: FileSharer, file: FileCreateResponse) -> Description:
    """Return the description of a file that was just uploaded.

    It contains the reason if the file has the name of a table and cannot be read as one.
    """
    from agent_kernel.kernel.render.files.tabular import is_called_table, may_be_table, preview_of
    from agent_kernel.kernel.tables.caption import about, for_model
    from agent_kernel.kernel.tables.preview import NoTable

    if not may_be_table(file.path):
        return Description()
    try:
        preview = await preview_of(await notebook.runtime(), file, notebook.settings.max_inline)
    except NoTable as error:
        reason = f"not read as a table: {error}" if is_called_table(file.path) else ""
        return Description(reason, reason)
    except AgentKernelError:
        return Description()  # the file has arrived; that it cannot be read back is no failure of the upload
    rows = "" if preview.whole else f"; types and missing values of the first {preview.count:,} rows"
    return Description(about(preview), for_model(preview) + rows)
