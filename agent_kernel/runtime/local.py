"""The runtime in this process: a turn loop over a store, a model and a sandbox.

    request ─► checks ─► the chain ─► a container ─► model ─► shell ─► model ─► ... ─► stored response

The loop is one async generator, pulled by whoever reads the events: a reader that stops reading stops the
model and the command, and one that leaves cancels them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field

from openai.types.responses import (
    Response,
    ResponseFunctionShellToolCall,
    ResponseStreamEvent,
)

from agent_kernel.errors import AgentKernelError, NotFound
from agent_kernel.models.base import Model, ModelRequest
from agent_kernel.models.catalogue import Models
from agent_kernel.protocol import ids
from agent_kernel.protocol.assembler import Assembler
from agent_kernel.protocol.items import shell_output, to_json
from agent_kernel.protocol.response import new_response
from agent_kernel.runtime.audit import OFF, AuditLog, audited
from agent_kernel.runtime.base import ResponseRequest
from agent_kernel.runtime.containers import BackendSource, ContainerSettings, LocalContainers
from agent_kernel.runtime.failure import failed_events
from agent_kernel.runtime.history import History, Json, join, read_history
from agent_kernel.runtime.store import ResponseRow, Store
from agent_kernel.runtime.turn import Turn, message, read_request
from agent_kernel.runtime.wellformed import well_formed_delta
from agent_kernel.tools.shell import CommandOutput, ShellLimits, run_shell_call

log = logging.getLogger(__name__)

CANCELLED = "agent_kernel.cancelled"
"""`incomplete_details.reason` of a turn whose reader left."""

MAX_STEPS = "agent_kernel.max_steps"
"""`incomplete_details.reason` of a turn in which the model did not come to an end."""


@dataclass(frozen=True)
class TurnSettings:
    """What bounds one turn."""

    max_steps: int = 50
    """Calls of the model in one turn; then the response is incomplete and can be continued."""
    shell: ShellLimits = field(default_factory=ShellLimits)


@dataclass
class _Run:
    """One turn under way."""

    turn: Turn
    model: Model
    upstream_name: str
    conversation: list[Json]
    container_id: str | None
    assembler: Assembler
    calls_made: int = 0
    stored: bool = False


class LocalRuntime:
    """A Responses API in this process. `backend` may be a callable that finds one on first use.

    It owns `models`, `store` and the backend: `aclose` closes them.
    """

    def __init__(
        self,
        *,
        models: Models,
        backend: BackendSource,
        store: Store,
        container_settings: ContainerSettings | None = None,
        turn_settings: TurnSettings | None = None,
        audit: AuditLog = OFF,
    ) -> None:
        self._models = models
        self._store = store
        self._containers = LocalContainers(backend, store, container_settings, audit)
        self._settings = turn_settings or TurnSettings()

    @property
    def containers(self) -> LocalContainers:
        """The sandboxes that commands run in."""
        return self._containers

    async def respond(self, request: ResponseRequest) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Run one turn and stream it; see `Runtime.respond`."""
        async with AsyncExitStack() as stack:
            run = await self._prepare(read_request(request))
            if run.container_id is not None:  # held for the whole turn: a thinking model lets nothing expire
                await stack.enter_async_context(self._containers.use(run.container_id))
            try:
                async with aclosing(self._events(run)) as events:
                    async for event in events:
                        yield event
            except (GeneratorExit, asyncio.CancelledError):
                if not run.stored:
                    run.assembler.incomplete(CANCELLED)
                    await asyncio.shield(self._save(run))
                raise

    async def _prepare(self, turn: Turn) -> _Run:
        """Everything that can be refused, before the first event."""
        model, upstream_name = self._models.resolve(turn.model)
        history = await read_history(self._store, turn.previous_id)
        conversation = join(history, turn.input)
        container_id, is_new = await self._container(turn, history)
        if is_new and history.container_id is not None:
            conversation.insert(len(conversation) - len(turn.input), message("developer", CONTAINER_LOST))
        elif container_id is not None and await self._containers.was_brought_back(container_id):
            conversation.insert(len(conversation) - len(turn.input), message("developer", CONTAINER_BACK))
        response = new_response(
            turn.request,
            id=ids.response_id(),
            model=turn.model or self._models.default or upstream_name,
            tools=turn.tools_shown(container_id),
            created_at=time.time(),
        )
        assembler = Assembler(response)
        assembler.container_id = container_id
        return _Run(turn, model, upstream_name, conversation, container_id, assembler)

    async def _container(self, turn: Turn, history: History) -> tuple[str | None, bool]:
        """The container of this turn, and whether it was made for it."""
        if turn.shell is None or turn.shell.kind == "local":
            return None, False
        if turn.shell.container_id is not None:
            return turn.shell.container_id, False
        if history.container_id is not None and await self._containers.is_alive(history.container_id):
            return history.container_id, False
        container = await self._containers.create({**(turn.shell.params or {}), "name": "auto"})
        return container.id, True

    async def _events(self, run: _Run) -> AsyncGenerator[ResponseStreamEvent, None]:
        """The whole stream. Whatever goes wrong ends it by `error` and `response.failed`."""
        for event in run.assembler.begin():
            yield event
        try:
            async with aclosing(self._steps(run)) as events:
                async for event in events:
                    yield event
            return
        except AgentKernelError as error:
            log.info("The turn %s failed.", run.assembler.response.id, exc_info=True)
            final = run.assembler.fail(code=error.code or "server_error", message=str(error))
        except Exception as error:  # a stream that has begun must end in words, whatever happens
            log.exception("The turn %s failed.", run.assembler.response.id)
            words = (
                f"Something unforeseen went wrong in the runtime ({type(error).__name__}); its log has more."
            )
            final = run.assembler.fail(code="server_error", message=words)
        for event in await self._settled(run, final):
            yield event

    async def _steps(self, run: _Run) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Model, shell, model, ... until the model is done, is cut off, or has had its number of steps."""
        assembler = run.assembler
        for step in range(self._settings.max_steps):
            async with aclosing(self._ask_model(run, step)) as events:
                async for event in events:
                    yield event
            if assembler.truncated is not None:
                final = assembler.incomplete(assembler.truncated)
                break
            calls = assembler.shell_calls()
            async with aclosing(self._carry_out_all(run, calls)) as events:
                async for event in events:
                    yield event
            if not calls or run.container_id is None or assembler.function_calls():
                final = assembler.complete()  # the model is done, or the client has calls to answer
                break
        else:
            final = assembler.incomplete(MAX_STEPS)
        for event in await self._settled(run, final):
            yield event

    async def _ask_model(self, run: _Run, step: int) -> AsyncGenerator[ResponseStreamEvent, None]:
        async with aclosing(run.model.stream(self._model_request(run, step))) as deltas:
            async for delta in deltas:
                for event in run.assembler.feed(well_formed_delta(delta)):
                    yield event
        for event in run.assembler.end_step():
            yield event

    def _model_request(self, run: _Run, step: int) -> ModelRequest:
        settings = dict(run.turn.settings)
        if step > 0 and settings.get("tool_choice") not in ("auto", "none"):
            settings.pop("tool_choice", None)  # it was obeyed; obeying it for ever would never end
        return ModelRequest(
            model=run.upstream_name,
            input=[*run.conversation, *(to_json(item) for item in run.assembler.response.output)],
            instructions=run.turn.instructions,
            shell=run.turn.shell is not None,
            functions=run.turn.functions,
            settings=settings,
        )

    async def _carry_out_all(
        self, run: _Run, calls: Sequence[ResponseFunctionShellToolCall]
    ) -> AsyncGenerator[ResponseStreamEvent, None]:
        for call in calls:
            if run.container_id is None:
                run.assembler.hand_over(call)
                continue
            async with aclosing(self._carry_out(run, call, run.container_id)) as events:
                async for event in events:
                    yield event

    async def _carry_out(
        self, run: _Run, call: ResponseFunctionShellToolCall, container_id: str
    ) -> AsyncGenerator[ResponseStreamEvent, None]:
        """Run one shell call in the turn's container; its output goes out as it is printed."""
        assembler, call_id = run.assembler, call.call_id
        for event in assembler.open_output(call):
            yield event
        run.calls_made += 1
        if run.turn.max_tool_calls is not None and run.calls_made > run.turn.max_tool_calls:
            for index in range(len(call.action.commands)):
                content = shell_output("", "Not run: max_tool_calls is used up.", exit_code=126)
                for event in assembler.command_done(call_id, index, content):
                    yield event
        else:
            async with aclosing(self._run_commands(run, call, container_id)) as events:
                async for event in events:
                    yield event
        for event in assembler.close_output(call_id):
            yield event

    async def _run_commands(
        self, run: _Run, call: ResponseFunctionShellToolCall, container_id: str
    ) -> AsyncGenerator[ResponseStreamEvent, None]:
        assembler, call_id, action = run.assembler, call.call_id, call.action
        async with self._containers.use(container_id, to_run=True) as channel:
            pieces = audited(
                self._containers.audit,
                run_shell_call(
                    channel,
                    action.commands,
                    timeout_ms=action.timeout_ms,
                    max_output_length=action.max_output_length,
                    limits=self._settings.shell,
                ),
                action.commands,
                container=container_id,
                response=assembler.response.id,
                call=call_id,
            )
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, CommandOutput):
                        events = assembler.output(
                            call_id, piece.command_index, stdout=piece.stdout, stderr=piece.stderr
                        )
                    else:
                        content = shell_output(piece.stdout, piece.stderr, exit_code=piece.exit_code)
                        events = assembler.command_done(call_id, piece.command_index, content)
                    for event in events:
                        yield event

    async def _settled(
        self, run: _Run, final: Sequence[ResponseStreamEvent]
    ) -> Sequence[ResponseStreamEvent]:
        """Write the turn down; return its last events, or those of a failure if that was not possible.

        It comes before they go out: whoever has seen the end can continue.
        """
        try:
            await self._save(run)
        except AgentKernelError as error:
            log.exception("The turn %s could not be stored.", run.assembler.response.id)
            number = final[0].sequence_number
            return failed_events(run.assembler.response, f"The turn could not be stored. {error}", number)
        return final

    async def _save(self, run: _Run) -> None:
        """Write the turn down, unless the client said not to."""
        run.stored = True
        if not run.turn.store:
            return
        response = run.assembler.response
        await self._store.put_response(
            ResponseRow(
                id=response.id,
                created_at=response.created_at,
                status=response.status or "completed",
                model=response.model,
                previous_id=run.turn.previous_id,
                container_id=run.container_id,
                request={name: value for name, value in run.turn.request.items() if name != "input"},
                input=run.turn.input,
                response=to_json(response),
            )
        )

    async def retrieve(self, response_id: str) -> Response:
        """A stored response. Raises `NotFound`."""
        row = await self._store.response(response_id)
        if row is None:
            raise _no_response(response_id)
        return Response.construct(**row.response)

    async def delete(self, response_id: str) -> None:
        """Delete a stored response. Raises `NotFound`. Turns after it cannot be continued any more."""
        if not await self._store.delete_response(response_id):
            raise _no_response(response_id)

    async def models(self) -> Sequence[str]:
        """Names of models that can be asked for."""
        return self._models.names()

    async def aclose(self) -> None:
        """Release everything held; containers live on until their lease ends. Idempotent."""
        await self._containers.aclose()
        await self._models.aclose()
        await self._store.aclose()


CONTAINER_LOST = (
    "The container of the earlier turns no longer exists. Commands now run in a new, empty one: files, shell"
    " variables and background processes of earlier turns are gone."
)

CONTAINER_BACK = (
    "The container had expired and was brought back from its checkpoint: files, installed packages, shell"
    " variables and the working directory are as they were; background processes of earlier turns are gone."
)


def _no_response(response_id: str) -> NotFound:
    return NotFound(f"There is no response {response_id!r}.", param="response_id")
