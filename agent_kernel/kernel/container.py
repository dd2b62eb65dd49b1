"""A notebook's container: created on first use, kept alive, replaced when it no longer exists."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, InvalidRequest, NotFound, SandboxGone
from agent_kernel.runtime.progress import listening

if TYPE_CHECKING:
    from openai.types import ContainerCreateResponse

    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.kernel.written import WrittenFiles
    from agent_kernel.runtime.base import Runtime

GONE = (NotFound, SandboxGone, InvalidRequest)  # InvalidRequest: how the API reports an expired container

CONTAINER_REPLACED = (
    "The container of the cells above is gone, with its files and shell variables. This cell runs in a new, "
    "empty one: upload your files again."
)
CONTAINER_RENEWED = "The user replaced the container: it is new and empty."
SHELL_RESET = "The user reset the shell: variables, functions and the directory are lost; files are kept."


@dataclass(frozen=True)
class OpenContainer:
    """A live container, and the tracker of the files written in it from now on."""

    id: str
    written: WrittenFiles


class NotebookContainer:
    """The container of one notebook. Use it from one event loop.

    `runtime` opens the runtime; `tell_model` adds a note to the next turn; `equip` gives a new container what
    the notebook's has. `name` is that of new containers.
    """

    def __init__(
        self,
        runtime: Callable[[], Awaitable[Runtime]],
        tell_model: Callable[[str], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
        equip: Callable[[str, CellOutputs], Awaitable[None]],
    ) -> None:
        self.id: str | None = None
        self.name = "notebook"
        self.params: Mapping[str, Any] = {}  # of the newest container, for the one that replaces it
        self.shown: Mapping[str, str] = {}  # its `sandbox` and `isolation`, where the server says so
        self.changes = 0
        """How often something has run in the container that may have changed it."""
        self.created: Callable[[str, CellOutputs], Awaitable[None]] | None = None
        """Called with the id of each new container before anything runs in it."""
        self._runtime = runtime
        self._tell_model = tell_model
        self._log = log
        self._equip = equip
        self._keeper: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def open(self, outputs: CellOutputs, params: Mapping[str, Any] | None = None) -> OpenContainer:
        """Return the live container. One that died comes back with its files; one that is gone is replaced.

        Both are said in `outputs`.

        A new one is created with `params` (`ContainerCreateParams`), or else with those of the one before.
        Raises what `Containers.create` raises. A file that is dropped while a cell begins waits for the same
        container.
        """
        async with self._opening:
            return await self._open(outputs, params)

    async def _open(self, outputs: CellOutputs, params: Mapping[str, Any] | None) -> OpenContainer:
        from agent_kernel.kernel.render.bundles import note, notice
        from agent_kernel.kernel.render.text import clean
        from agent_kernel.kernel.written import WrittenFiles

        containers = (await self._runtime()).containers
        if self.id is not None:
            files = containers.files
            try:
                with listening(lambda text: outputs.emit(notice(clean(text)))):
                    try:
                        return OpenContainer(self.id, await WrittenFiles.since_now(files, self.id))
                    except SandboxGone:  # found dead during this use: the next one brings back its files
                        return OpenContainer(self.id, await WrittenFiles.since_now(files, self.id))
            except GONE as error:
                self._log.warning("Container %s no longer exists: %s", self.id, error)
                self.id = None
                outputs.emit(notice(CONTAINER_REPLACED))
                self._tell_model(CONTAINER_REPLACED)
        params = self.params if params is None else params
        outputs.step("Starting the container")
        with listening(lambda text: outputs.progress(note(clean(text)))):
            created = await containers.create({"name": self.name, **params})
        self.id, self.params, self.shown = created.id, params, _described(created)
        minutes = created.expires_after.minutes if created.expires_after else None
        self._keep_alive(created.id, minutes)
        self.touched()
        await self._equip(created.id, outputs)
        if self.created is not None:
            await self.created(created.id, outputs)
        return OpenContainer(created.id, await WrittenFiles.since_now(containers.files, created.id))

    async def adopt(self, container_id: str | None, params: Mapping[str, Any]) -> None:
        """Go on in a container that is there already, or without one. `params` are those of the next one."""
        self.stop_keeping_alive()
        self.id, self.params, self.shown = container_id, params, {}
        if container_id is not None:
            found = await (await self._runtime()).containers.retrieve(container_id)
            self.shown = _described(found)
            self._keep_alive(container_id, found.expires_after.minutes if found.expires_after else None)

    def touched(self) -> None:
        """Say that something runs in the container, or writes to it, that may change it."""
        self.changes += 1

    async def reset_shell(self) -> None:
        """Reset the shell, if there is a container, and inform the model. Raises as `Containers.reset`."""
        if self.id is not None:
            self.touched()
            await (await self._runtime()).containers.reset(self.id)
            self._tell_model(SHELL_RESET)

    async def renew(self, params: Mapping[str, Any], outputs: CellOutputs) -> None:
        """Create a new, empty container, then delete the old one. Raises what `Containers.create` raises."""
        async with self._opening:  # a file that is dropped meanwhile must not create another one
            old, self.id = self.id, None
            try:
                await self._open(outputs, params)
            except BaseException:
                self.id = old
                raise
        if old is not None:
            self._tell_model(CONTAINER_RENEWED)
            with contextlib.suppress(*GONE):
                await (await self._runtime()).containers.delete(old)

    def _keep_alive(self, container_id: str, minutes: int | None) -> None:
        """Touch the container regularly while this kernel lives, so that it does not expire while idle."""
        self.stop_keeping_alive()
        if minutes:
            self._keeper = asyncio.create_task(self._kept_alive(container_id, minutes * 60 / 3))

    async def _kept_alive(self, container_id: str, every: float) -> None:
        runtime = await self._runtime()
        while True:
            await asyncio.sleep(every)
            try:
                await runtime.containers.files.list(container_id, limit=1)
            except GONE:
                return  # the next cell notices and reports it
            except AgentKernelError:
                self._log.warning("Container %s could not be reached.", container_id, exc_info=True)

    def stop_keeping_alive(self) -> None:
        """Stop extending the container's lease, so that it expires when unused."""
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None

    async def delete(self, runtime: Runtime, seconds: float) -> None:
        """Delete the container within `seconds`. Errors are logged; the lease then ends it."""
        self.stop_keeping_alive()
        container_id, self.id = self.id, None
        try:
            if container_id is not None:
                with contextlib.suppress(*GONE):
                    async with asyncio.timeout(seconds):
                        await runtime.containers.delete(container_id)
        except (AgentKernelError, TimeoutError):
            self._log.warning("Container %s will end with its lease.", container_id, exc_info=True)


def _described(created: ContainerCreateResponse) -> dict[str, str]:
    ours = (created.model_extra or {}).get("agent_kernel")
    found = ours if isinstance(ours, Mapping) else {}
    return {name: str(found[name]) for name in ("sandbox", "isolation") if name in found}
