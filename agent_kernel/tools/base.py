"""The interface of tools: entries in a request, items, the form that models see, and running a call.

A tool that this server runs is a subclass of `Tool`, usually of `tools.function.FunctionTool`. One object per
tool serves all requests, so it keeps no state of a request; that is in the `ToolEntry`. The methods are in
the order in which a call uses them. None of them may block.

A call has two items: the call, which a model writes, and the output, which the running tool writes. They have
the types `call_type` and `output_type` and the same `call_id`. A `OneItemTool` holds both in one item.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from agent_kernel.errors import InvalidRequest
from agent_kernel.protocol import ids
from agent_kernel.protocol.calls import CallDelta, CallDone, CallDraft, CallItem, CallStart, OutputDraft
from agent_kernel.protocol.citations import CitedFile, CitedPage
from agent_kernel.protocol.validation import shortened
from agent_kernel.tools.context import LostCall, RejoinedCall, ToolContext
from agent_kernel.tools.live import LiveCall

if TYPE_CHECKING:
    from agent_kernel.sandboxes.channel import Channel

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Environment:
    """The place where calls run: a new or reused container (`auto`), a given one, or the client (`local`)."""

    kind: Literal["auto", "reference", "local"]
    tool_index: int
    container_id: str | None = None
    params: Json | None = None
    field: str = "environment"
    """The field of the entry that says so."""

    @property
    def where(self) -> str:
        """The field's place in the request."""
        return f"tools[{self.tool_index}].{self.field}"


@dataclass(frozen=True)
class Namespace:
    """The group of a client's function: its entry in `tools`, its name, and the function's own name in it."""

    spec: Json
    name: str
    function: str


@dataclass(frozen=True)
class ToolEntry:
    """An entry of a request's `tools` that passed its tool's checks."""

    tool: Tool
    index: int
    spec: Json
    environment: Environment | None = None
    """The environment that the entry asks for. None: the tool needs none, or uses the turn's container."""
    namespace: Namespace | None = None
    """Set for a function of a namespace, whose `spec` has a flat name; see `tools.namespaces`."""
    private: Any = field(default=None, repr=False)
    """What the tool read in the entry and its `spec` must not show, because a response shows that."""
    deferred: bool = False
    """Whether a model must find the tool with `tool_search` first, if the request has one."""
    at_client: bool = False
    """Whether this entry leaves the calls to the client, though the tool can run here."""

    @property
    def lists(self) -> bool:
        """Whether the entry stands for functions that are listed before the model is asked."""
        return self.tool.lists and self.namespace is None

    @property
    def by_client(self) -> bool:
        """Whether the client runs the calls."""
        local = self.environment is not None and self.environment.kind == "local"
        return local or self.at_client or self.tool.by_client


def entry_of(entries: Sequence[ToolEntry], tool: Tool, call: Json) -> ToolEntry | None:
    """Return the entry of a call's tool, or of the very function if the tool has several; None: none."""
    wanted = tool.called_as(call)
    for entry in entries:
        group = entry.namespace
        called = (group.name, group.function) if group is not None else None
        if entry.tool is tool and wanted in (None, called):
            return entry
    return None


class Tool(ABC):
    """A tool. `InvalidRequest` always names the invalid parameter; `MalformedModelOutput` ends the turn."""

    type: ClassVar[str]
    """The `type` of its entry in `tools`, and its name in audit records, traces and metrics."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Other names that `type` may have in an entry of `tools`, and in `tool_choice`."""
    call_type: ClassVar[str]
    output_type: ClassVar[str]
    id_prefixes: ClassVar[tuple[str, str]]
    """Prefixes of the ids of its call items and its output items."""
    by_client: ClassVar[bool] = False
    """Whether the client always runs the calls. Then the tool is offered and read, but never run here."""
    in_sandbox: ClassVar[bool] = False
    """Whether its calls need the turn's container."""
    parallel: ClassVar[bool] = False
    """Whether its calls in one step may run at the same time. Calls of different tools always may."""
    audits_itself: ClassVar[bool] = False
    """Whether `run` writes its own lines to the audit log, instead of `call` and `call.end`."""
    resumable: ClassVar[bool] = False
    """Whether `rejoin` can resume calls of a dead process. Its output drafts then have `restore`."""
    repeated: ClassVar[bool] = False
    """Whether `tools` may have several entries of this type. Each has its name for models in its `spec`."""
    lists: ClassVar[bool] = False
    """Whether an entry stands for functions that something else lists; see `runtime.turns.servers`."""
    waits_unshown: ClassVar[bool] = False
    """Whether a call that waits for an approval has no item: its request holds the whole call."""
    passed: ClassVar[bool] = False
    """Whether entries and items pass to a server of the Responses API as they are; see `tools.passed`."""
    one_item: ClassVar[bool] = False
    """Whether a call and its output are one item; see `tools.one_item`."""
    has_call_ids: ClassVar[bool] = True
    """Whether its items must have a `call_id`. Without one a call is known by its item's id."""
    outside: ClassVar[bool] = False
    """Whether its results are from outside the conversation; see `tools.outside`."""
    optional_fields: ClassVar[Mapping[str, str]] = {}
    """Fields of its call items that a response shows only if the request's `include` names them. Maps the
    name in `include` to the field, also `outer.inner`; it is null otherwise. The model always gets them."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Tool:
        """Return the tool itself: there is one object per tool."""
        return self

    # -- the request --------------------------------------------------------------------------------------

    def read(self, spec: Json, index: int) -> ToolEntry:
        """Check an entry of `tools`. Raises `InvalidRequest` with a parameter below `tools[index]`.

        Its depth and its `type` were checked before; anything else in it may be invalid.
        """
        environment = Environment("auto", index) if self.in_sandbox else None
        return ToolEntry(self, index, spec, environment)

    def shown(self, entry: ToolEntry, container_id: str | None) -> Json:
        """Return the entry as the response shows it; `container_id` is the turn's container."""
        return entry.spec

    def check_item(self, item: Json, where: str) -> None:
        """Check a call or output item that a client sends as input. Raises `InvalidRequest`.

        Items of the `openai` package's types were checked against those types before.
        """
        if not isinstance(item.get("call_id"), str):
            param = f"{where}.call_id"
            raise InvalidRequest(
                f"{param} must be a string, not {shortened(item.get('call_id'))}.", param=param
            )

    # -- offering it to a model ---------------------------------------------------------------------------

    def offered(self, entry: ToolEntry, tools: Sequence[ToolEntry]) -> ToolEntry:
        """Return the entry as a model gets it beside the request's `tools`."""
        return entry

    def call_labels(self, entry: ToolEntry) -> Json:
        """Return the `CallStart.labels` that all calls of this entry have."""
        return {}

    def native_spec(self, entry: ToolEntry) -> Json | None:
        """Return the entry for an upstream that supports this tool natively, None if no upstream does."""
        return None

    @abstractmethod
    def function_spec(self, entry: ToolEntry) -> Json:
        """Return the tool as a function for all other upstreams: `description` and `parameters`.

        `parameters` is a JSON schema. The model chooses the name: `type`, unless it is taken.
        """

    # -- reading a call of a model ------------------------------------------------------------------------

    def live_call(self, call_id: str) -> LiveCall:
        """Begin to read a call with JSON arguments that arrive in pieces. See `LiveCall`."""
        return LiveCall(self, call_id)

    @abstractmethod
    def read_arguments(self, call_id: str, arguments: str) -> CallDone:
        """Read the JSON arguments of a function call. Raises `MalformedModelOutput`."""

    native_events: ClassVar[frozenset[str]] = frozenset()
    """The types of stream events in which an upstream with native support writes a call."""

    def read_native_event(self, call_id: str, event: Any) -> Iterator[CallDelta]:
        """Yield the deltas of one of `native_events`."""
        yield from ()

    def read_native_item(self, call_id: str, item: Any) -> CallDone:
        """Read a finished call item of an upstream with native support. Raises `MalformedModelOutput`."""
        raise NotImplementedError

    def called_as(self, call: Json) -> tuple[str, str] | None:
        """Return the namespace and the name of the function that a call item calls; None if it has none.

        Only for tools with several functions that this server runs.
        """
        return None

    # -- its items and events -----------------------------------------------------------------------------

    @abstractmethod
    def call_draft(self, index: int, numbers: Iterator[int], start: CallStart) -> CallDraft:
        """Begin the call item that a model writes."""

    @abstractmethod
    def output_draft(self, index: int, numbers: Iterator[int], call: CallItem) -> OutputDraft:
        """Begin the output item of a call. Its `write` accepts what `run` and `refuse` emit."""

    # -- before it runs -----------------------------------------------------------------------------------

    @abstractmethod
    def policy_subject(self, call: Json) -> Sequence[str] | None:
        """Return the texts that approval policies judge, each as one command. None: no approval is needed."""

    def has_effects(self, entry: ToolEntry | None, call: Json, earlier: Sequence[Json]) -> bool:
        """Return whether a call may change something, or send something out.

        `entry` is that of the call, if it is known, `earlier` the conversation. Policies can treat such calls
        differently after text from outside was read. A tool that only reads says False.
        """
        return True

    def asks(self, entry: ToolEntry, call: Json, earlier: Sequence[Json]) -> str | None:
        """Return why the request itself wants a call approved, as a sentence; None if it does not."""
        return None

    def approval_request(self, call: Json, reason: str) -> Json | None:
        """Return the item that asks about a call; None for the usual one. For a tool that `waits_unshown`."""
        return None

    def asked_call(self, request: Json) -> Json:
        """Return the call that an `approval_request` asks about."""
        raise NotImplementedError

    def labels_again(self, call: Json, request_id: str) -> Json:
        """Return the `CallStart.labels` of a call that was approved or denied, and is made again."""
        return {"agent_kernel": {"approval_request_id": request_id}}

    def container_of(self, call: Json) -> str | None:
        """Return the container that a call was made for, None if it has none: `agent_kernel.container_id`."""
        ours = call.get("agent_kernel")
        found = ours.get("container_id") if isinstance(ours, Mapping) else None
        return found if isinstance(found, str) else None

    def question(self, call: Json) -> dict[str, Any]:
        """Return the call's arguments as an approval request shows them."""
        return dict(self.arguments(call))

    def edited(self, call: Json, commands: Sequence[str]) -> Json:
        """Return the call with its commands replaced by those of the user.

        Raises `InvalidRequest` if the tool has no commands.
        """
        raise InvalidRequest(
            f"A call of the tool {self.type} has no commands to change.",
            hint="Approve or deny it as it is.",
            param="input",
        )

    @abstractmethod
    def refuse(self, call: Json, why: str) -> Iterator[Any]:
        """Yield the output pieces of a call that may not run. `why` is a sentence for the model."""

    # -- running it ---------------------------------------------------------------------------------------

    async def run(self, call: Json, context: ToolContext) -> None:
        """Run a call, and emit its output with `context.emit`.

        Raises `SandboxGone`, `SandboxUnreachable`, `ChannelBroken`. Every error ends the turn, so a failure
        that a model can react to belongs in the output. Cancelling stops the call and keeps the output
        emitted so far. The caller applies a deadline and a budget, and never runs `by_client` tools.
        """
        raise NotImplementedError

    async def warm_up(self, channel: Channel) -> None:  # noqa: B027 (most tools need nothing)
        """Begin in a fresh sandbox what makes the first call fast. Raises as `run`."""

    def rejoin(self, calls: Sequence[LostCall], response_id: str, known: Set[str]) -> list[RejoinedCall]:
        """Decide how to resume the calls of one step after their process died. `run` is then called for each.

        `known` are the names of commands that the sandbox still has. A call's name begins with the response
        id. `run` gets the decision in `context.rejoin`. An empty list means that the state of the calls is
        unknown, and ends the turn. Nothing may run twice.
        """
        return []

    async def abandon(self, calls: Sequence[LostCall], spec: Json, channel: Channel) -> None:  # noqa: B027
        """End in the sandbox what still runs of a dead process's calls, whose turn ends before they do.

        `spec` is the tool's entry. Raises as `run`. Does nothing to calls that have ended.
        """

    async def lost(self, items: Sequence[Json], channel: Channel | None) -> str | None:
        """Return a sentence for the model about state of earlier calls that is gone; None: there is none.

        `items` are the conversation. `channel` leads into the container that was restored, or is None if the
        turn has a new one. Raises as `run`.
        """
        return None

    # -- after it ran -------------------------------------------------------------------------------------

    def outcomes(self, output: Json) -> Sequence[str]:
        """Return how the call ended, for its trace: one word, or one for each part."""
        return [str(output.get("status"))]

    @abstractmethod
    def unanswered(self, call: Json, why: str) -> Any:
        """Return the `output` of a call that did not run. `why` is a sentence for the model."""

    def output_item(self, call: Json, why: str) -> Json:
        """See `CallKind.output_item`."""
        return {
            "id": ids.item_id(self.output_type, self.id_prefixes[1]),
            "type": self.output_type,
            "call_id": call["call_id"],
            "output": self.unanswered(call, why),
            "status": "incomplete",
        }

    @abstractmethod
    def interrupted_call(self, item: Json, parts: Sequence[str]) -> Json:
        """See `CallKind.interrupted_call`."""

    @abstractmethod
    def interrupted_output(self, item: Json, call: Json | None, events: Sequence[Json]) -> Json:
        """See `CallKind.interrupted_output`."""

    def whole_call(self, item: Json, events: Sequence[Json]) -> tuple[Json, Sequence[Json]] | None:
        """See `CallKind.whole_call`."""
        raise NotImplementedError

    def split(self, item: Json) -> tuple[Json, Json]:
        """Return a `one_item` as a call and an output, the form that models and transcripts get."""
        raise NotImplementedError

    # -- presenting it to a model -------------------------------------------------------------------------

    @abstractmethod
    def arguments(self, call: Json) -> Json:
        """Return a call item's arguments in the shape of the function's parameters."""

    def arguments_text(self, call: Json) -> str:
        """Return a call item's arguments as JSON text."""
        from json import dumps

        return dumps(self.arguments(call))

    @abstractmethod
    def result(self, output: Json) -> str:
        """Return an output item's content as text for a model."""

    def parts(self, output: Json) -> Sequence[Json]:
        """Return what an output has besides `result`, as parts of the Responses API such as `input_image`."""
        return ()

    def sources(self, item: Json) -> Iterator[CitedFile | CitedPage]:
        """Yield what messages after this item may cite; most tools have nothing."""
        yield from ()

    def annotated(self, output: Json, lines: Mapping[int, str]) -> Json:
        """Return an output item with the lines that `run` told the model about its parts."""
        return output

    def native_call(self, call: Json) -> Json:
        """Return a call item in its native form."""
        raise NotImplementedError

    def native_output(self, output: Json) -> Json:
        """Return an output item in its native form."""
        raise NotImplementedError

    def native_note(self, output: Json) -> str | None:
        """Return what the native form has no place for, as a sentence."""
        return None

    @abstractmethod
    def transcript(self, item: Json) -> Iterator[str]:
        """Yield the lines of a call or output item for a plain-text transcript of the conversation."""

    def printed(self, output: Json) -> Iterator[str]:
        """Yield the texts of an output item that a script may quote."""
        yield self.result(output)
