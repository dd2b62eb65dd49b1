"""The errors of this package.

Each has a sentence for the user (`message`), the party at fault (`fault`) and, if there is one, the next step
(`hint`). A front end shows `message` and `hint`; the log has the traceback.

    AgentKernelError
    ├── InvalidRequest (ValueError)            the request is wrong
    │   ├── NotFound (LookupError)             no such response, container or file
    │   ├── TooLarge                           an upload or body over the limit
    │   └── TooSlow                            a body did not arrive in time
    ├── Unauthorized (PermissionError)         no key, or an invalid one
    ├── LimitReached                           a limit of the key is reached
    ├── ConfigurationError (ValueError)        a setting is wrong
    ├── ModelError                             a failure of the model
    │   ├── UpstreamUnavailable (ConnectionError)  no answer, or 5xx
    │   │   └── RateLimited                        429
    │   ├── UpstreamRefused (PermissionError)      wrong or missing key, unknown model
    │   │   └── ContextLengthExceeded              the request does not fit the model's context window
    │   ├── UpstreamInterrupted (ConnectionError)  the stream ended before the answer did
    │   ├── MalformedModelOutput (ValueError)      the model made a call that cannot run
    │   │   └── MalformedCall                          its arguments cannot be used
    │   └── OutOfScript (LookupError)              the script or cassette has no such turn
    ├── ToolServerFailed (ConnectionError)     an MCP server cannot list its tools
    └── SandboxError                           a failure of the sandbox
        ├── EngineUnavailable (ConnectionError)    no engine, no bwrap, no user namespaces
        ├── ImageMissing (LookupError)             the image or toolbox is not prepared
        ├── PreparationFailed                      the image or toolbox could not be built
        ├── IsolationUnavailable                   the requested OCI runtime is not installed
        ├── LimitUnavailable                       the backend cannot enforce a requested limit
        ├── CapabilityMissing (NotImplementedError)  the backend lacks an optional part
        ├── SandboxStartFailed                     the sandbox did not start
        ├── CheckpointTooLarge                     a checkpoint would take more bytes than it may
        ├── SandboxBusy                            something else is under way in the sandbox
        ├── SandboxGone                            the sandbox is dead; its files may be lost
        ├── SandboxUnreachable (ConnectionError)   the sandbox does not answer now
        ├── ConnectDenied (PermissionError)        the host denied a connection from the sandbox
        ├── ChannelBroken (ConnectionError)        the sandbox broke the stream protocol
        └── SandboxFileError (OSError)             a path inside cannot be read or written
"""

from __future__ import annotations

from typing import ClassVar, Literal

Fault = Literal["caller", "operator", "model", "sandbox"]


class AgentKernelError(Exception):
    """The base class of all errors: `message` says what happened, `hint` what to do next."""

    fault: ClassVar[Fault] = "operator"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InvalidRequest(AgentKernelError, ValueError):
    """The request is invalid; `param` names the field, as in the API's error object. HTTP 400."""

    fault: ClassVar[Fault] = "caller"

    def __init__(
        self, message: str, *, hint: str | None = None, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.param = param
        self.request_code = code


class NotFound(InvalidRequest, LookupError):
    """No such response, container or file. HTTP 404."""


class TooLarge(InvalidRequest):
    """A body or an upload is over the limit. HTTP 413."""


class UnsupportedEncoding(InvalidRequest):
    """A body has a content encoding that is not supported. HTTP 415."""


class TooSlow(InvalidRequest):
    """A body did not arrive in time. HTTP 408."""


class Unauthorized(AgentKernelError, PermissionError):
    """The key is missing, invalid or revoked. HTTP 401."""

    fault: ClassVar[Fault] = "caller"
    code: ClassVar[str | None] = "invalid_api_key"


class LimitReached(AgentKernelError):
    """A limit of the key is reached; the request changed nothing. HTTP 429.

    `request_code` names the limit. `retry_after` is in seconds; None means that waiting does not help.
    """

    fault: ClassVar[Fault] = "caller"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str = "limit_reached",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.request_code = code
        self.retry_after = retry_after


class ConfigurationError(AgentKernelError, ValueError):
    """A setting is invalid or not available here. A weaker setting never replaces it."""


class ModelError(AgentKernelError):
    """A failure of the model or its upstream."""

    fault: ClassVar[Fault] = "model"


class UpstreamUnavailable(ModelError, ConnectionError):
    """The upstream does not answer, or answers with 429 or 5xx.

    `retry_after` is the wait that the upstream asks for, in seconds, or None.
    """

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RateLimited(UpstreamUnavailable):
    """The upstream limits the rate of requests (429)."""

    code: ClassVar[str | None] = "rate_limit_exceeded"


class UpstreamRefused(ModelError, PermissionError):
    """The upstream refused the request: invalid key, unknown model, or an invalid request."""

    fault: ClassVar[Fault] = "operator"


class ContextLengthExceeded(UpstreamRefused):
    """The request does not fit the model's context window.

    `tokens` is the size of the request, `window` the size that fits. None if the upstream does not say.
    """

    fault: ClassVar[Fault] = "caller"
    code: ClassVar[str | None] = "context_length_exceeded"

    def __init__(
        self, message: str, *, hint: str | None = None, tokens: int | None = None, window: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.tokens = tokens
        self.window = window


class UpstreamInterrupted(ModelError, ConnectionError):
    """The stream ended before the model finished."""


class MalformedModelOutput(ModelError, ValueError):
    """The model made a tool call that cannot run."""


class MalformedCall(MalformedModelOutput):
    """The arguments of a tool call are invalid. `why` gives the model the reason, as a phrase."""

    code: ClassVar[str | None] = "malformed_model_output"

    def __init__(self, message: str, *, why: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.why = why


class OutOfScript(ModelError, LookupError):
    """The scripted model, or a cassette, has no turn for this input; the message says what it has."""

    fault: ClassVar[Fault] = "caller"


class ToolServerFailed(AgentKernelError, ConnectionError):
    """An MCP server cannot list its tools, so the turn cannot begin. HTTP 424."""

    fault: ClassVar[Fault] = "caller"
    code: ClassVar[str | None] = "http_error"

    kind = "external_connector_error"
    """The `type` of the API's error object."""
    param = "tools"


class SandboxError(AgentKernelError):
    """A failure of the sandbox or its backend."""

    fault: ClassVar[Fault] = "sandbox"


class EngineUnavailable(SandboxError, ConnectionError):
    """The backend cannot work: no engine answers, no bwrap, no user namespaces."""

    fault: ClassVar[Fault] = "operator"


class ImageMissing(SandboxError, LookupError):
    """The image (Docker) or the toolbox (bubblewrap) is not prepared."""

    fault: ClassVar[Fault] = "operator"


class PreparationFailed(SandboxError):
    """The image or the toolbox could not be built. The attempt leaves nothing behind."""

    fault: ClassVar[Fault] = "operator"


class IsolationUnavailable(SandboxError):
    """The engine does not have the requested isolation runtime."""

    fault: ClassVar[Fault] = "operator"


class LimitUnavailable(SandboxError):
    """A requested limit cannot be enforced here. Nothing starts without it."""

    fault: ClassVar[Fault] = "operator"


class CapabilityMissing(SandboxError, NotImplementedError):
    """The backend lacks a requested optional part: checkpoints, named volumes, mounts."""

    fault: ClassVar[Fault] = "caller"


class SandboxStartFailed(SandboxError):
    """The sandbox did not start. Nothing is left behind."""


class CheckpointTooLarge(SandboxError):
    """A checkpoint would take more bytes than it may. Nothing is left behind."""

    fault: ClassVar[Fault] = "caller"


class SandboxBusy(SandboxError):
    """Something else is under way in the sandbox: a turn, a command, a snapshot. HTTP 409."""

    fault: ClassVar[Fault] = "caller"


class SandboxGone(SandboxError):
    """The sandbox is dead: killed, expired or removed."""


class SandboxUnreachable(SandboxError, ConnectionError):
    """The sandbox does not answer, but may still be alive: try again."""


class ConnectDenied(SandboxError, PermissionError):
    """The host denies a connection from the sandbox; the message says why."""

    fault: ClassVar[Fault] = "caller"


class ChannelBroken(SandboxError, ConnectionError):
    """The sandbox broke the stream protocol, or has another version of it. The stream is closed."""


class SandboxFileError(SandboxError, OSError):
    """A file operation inside the sandbox failed; the message has the path and the system's reason."""

    fault: ClassVar[Fault] = "caller"
