"""The error for an archive that cannot be used."""

from __future__ import annotations

from agent_kernel.errors import InvalidRequest


class ArchiveInvalid(InvalidRequest):
    """A file is not a session archive, or it was changed, cut short, or made to do harm."""

    def __init__(self, why: str, *, hint: str | None = None) -> None:
        super().__init__(
            f"The archive is refused: {why}. Nothing was created.",
            hint=hint or "Copy the archive again, or export the session again.",
        )
