"""The magic of sessions that outlive their kernel: `%session`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent_kernel.errors import InvalidRequest

if TYPE_CHECKING:
    from agent_kernel.kernel.notebook import Notebook
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.kept import KeptSession

_HINT = "Use keep, keep NAME, list, resume NAME, forget, forget NAME or new."


async def session(notebook: Notebook, outputs: CellOutputs, arguments: str) -> None:
    """Show, keep, list, resume, forget or leave the notebook's session."""
    from agent_kernel.kernel.keeping.words import named
    from agent_kernel.kernel.render.bundles import note

    word, _, rest = arguments.strip().partition(" ")
    rest, kept = rest.strip().strip("\"'"), notebook.kept
    match word:
        case "" if not rest:
            outputs.result(note(_state(notebook)))
        case "keep":
            _check_name(rest)
            await kept.check()
            kept.declined = False
            await kept.save(rest or None)
            outputs.emit(note(_state(notebook)))
        case "list" if not rest:
            await _list(notebook, outputs)
        case "resume" if not rest:
            raise InvalidRequest("Name the session: %session resume NAME.", hint="%session list shows all.")
        case "resume":
            found = await _wanted(notebook, rest)
            _check_kept(notebook)
            await kept.resume(found.id, outputs)
        case "forget":
            found = await _wanted(notebook, rest)
            await (await kept.sessions()).forget_session(found.id)
            if kept.session is not None and kept.session.id == found.id:
                kept.detach()
                kept.declined = True
            outputs.emit(note(f"Session {named(found)} is forgotten; its container ends when it expires."))
        case "new" if not rest:
            left = kept.session
            await kept.leave()
            again = f" %session resume {left.name or left.id} goes back to the last one." if left else ""
            outputs.emit(note(f"The next cell begins with an empty container and conversation.{again}"))
        case _:
            raise InvalidRequest(f"%session does not know {arguments.strip()[:80]!r}.", hint=_HINT)


def _check_name(name: str) -> None:
    """Raise `InvalidRequest` for a name that looks like an id: it could hide the session with that id."""
    if name.startswith(("sess_", "resp_")):
        raise InvalidRequest(
            f"{name[:80]!r} looks like an id, and cannot be the name of a session.",
            hint="Choose another name. To go on with a kept session: %session resume NAME",
        )


def _check_kept(notebook: Notebook) -> None:
    """Raise `InvalidRequest` if the notebook has work of its own that resuming another session would drop."""
    if notebook.kept.session is None and (notebook.previous_id or notebook.container.id):
        raise InvalidRequest(
            "What this notebook has done is not kept, and would be gone.",
            hint="%session keep keeps it, %session new gives it up. Then resume.",
        )


def _state(notebook: Notebook) -> str:
    from agent_kernel.kernel.keeping.words import ago, named

    kept = notebook.kept.session
    if kept is None:
        return "This notebook is not kept: it ends with its kernel. `%session keep` keeps it."
    return (
        f"This notebook is kept as {named(kept)}, last {ago(kept.updated_at)}. Its next kernel goes on where "
        f"this one ends. Id: `{kept.id}`."
    )


async def _list(notebook: Notebook, outputs: CellOutputs) -> None:
    from agent_kernel.kernel.keeping.words import ago, short_path
    from agent_kernel.kernel.render.bundles import note, table

    found = await (await notebook.kept.sessions()).kept_sessions()
    if not found:
        outputs.result(note("No session is kept. `%session keep` keeps this notebook."))
        return
    own = notebook.kept.session
    rows = [
        [each.name, each.id, short_path(each.notebook), ago(each.updated_at), _mark(each, own)]
        for each in found[:100]
    ]
    outputs.result(table(["name", "id", "notebook", "kept", ""], rows).bundle())


def _mark(session: KeptSession, own: KeptSession | None) -> str:
    return "this notebook" if own is not None and session.id == own.id else ""


async def _wanted(notebook: Notebook, word: str) -> KeptSession:
    """Return the session with this id or name; without a word this notebook's. Raises `InvalidRequest`."""
    own = notebook.kept.session
    if not word:
        if own is None:
            raise InvalidRequest("This notebook is not kept.", hint="%session list shows what is.")
        return own
    found = await (await notebook.kept.sessions()).kept_sessions()
    named = [each for each in found if each.id == word] or [each for each in found if each.name == word]
    if len(named) == 1:
        return named[0]
    raise InvalidRequest(*_unclear(word, named))


def _unclear(word: str, named: Sequence[KeptSession]) -> tuple[str]:
    if not named:
        return (f"No kept session has the name or id {word[:80]!r}. %session list shows all.",)
    ids = ", ".join(each.id for each in named[:5])
    return (f"{len(named)} kept sessions are called {word[:80]!r}. Name one by its id: {ids}.",)
