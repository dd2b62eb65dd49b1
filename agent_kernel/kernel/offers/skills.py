"""The skills of a notebook: which it uses, and that its container has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent_kernel.errors import AgentKernelError, CapabilityMissing

if TYPE_CHECKING:
    from agent_kernel.kernel.outputs import CellOutputs
    from agent_kernel.runtime.base import Runtime
    from agent_kernel.runtime.skills.base import LendsSkills, SkillThere


@dataclass(frozen=True)
class ChosenSkill:
    """A skill that the notebook uses: its id at the runtime, and a version; empty: the default one."""

    id: str
    name: str
    version: str = ""

    def reference(self) -> dict[str, Any]:
        """Return it as a request names it."""
        version = {"version": self.version} if self.version else {}
        return {"type": "skill_reference", "skill_id": self.id, **version}


class NotebookSkills:
    """The skills that `%skills` has chosen, by name. `runtime` opens the runtime."""

    def __init__(self, runtime: Callable[[], Awaitable[Runtime]]) -> None:
        self.chosen: dict[str, ChosenSkill] = {}
        self._runtime = runtime

    async def lender(self) -> LendsSkills:
        """Return what has the skills. Raises `CapabilityMissing`."""
        from agent_kernel.runtime.skills.base import LendsSkills

        runtime = await self._runtime()
        if not isinstance(runtime, LendsSkills):
            raise CapabilityMissing("This runtime has no skills.", hint="Use a newer server.")
        return runtime

    async def choose(self, skills: Iterable[ChosenSkill], container_id: str | None) -> Sequence[SkillThere]:
        """Use exactly these from now on, at once in the container if there is one. Return those there.

        Raises what the runtime raises; the skills in use are then as before.
        """
        chosen = {each.name: each for each in skills}
        there: Sequence[SkillThere] = ()
        if container_id is not None:
            references = [each.reference() for each in chosen.values()]
            there = await (await self.lender()).equip(container_id, references)
        self.chosen = chosen
        return there

    async def equip(self, container_id: str, outputs: CellOutputs) -> None:
        """Put the skills into a new container. What fails is said in `outputs`: the cell goes on."""
        from agent_kernel.kernel.render.bundles import notice
        from agent_kernel.kernel.render.text import clean

        if not self.chosen:
            return
        try:
            await self.choose(self.chosen.values(), container_id)
        except AgentKernelError as error:
            outputs.emit(notice(clean(f"The container has no skills: {error.message} %skills lists them.")))

    def to_json(self) -> list[dict[str, str]]:
        """Return what a kept session holds of it."""
        return [asdict(each) for each in self.chosen.values()]


def read_chosen(found: object) -> tuple[ChosenSkill, ...]:
    """Read what `to_json` has written. Raises `TypeError`, `LookupError`."""
    listed = found if isinstance(found, list) else []
    return tuple(ChosenSkill(str(each["id"]), str(each["name"]), str(each["version"])) for each in listed)
