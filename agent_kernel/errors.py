"""Every error that this package raises on purpose.

Each one carries a sentence for the person (`message`), whose fault it is (`fault`) and, where there is
one, what mends it (`hint`). A front end shows `message` and `hint`; the log has the traceback.

    AgentKernelError
    ├── InvalidRequest (ValueError)            the caller's: the request itself is wrong
    │   ├── NotFound (LookupError)             no such response, container or file
    │   ├── TooLarge                           an upload or body over the limit
    │   └── TooSlow                            a body that does not come
    ├── Unauthorized (PermissionError)         no key, or one that is nobody's
    ├── LimitReached                           a key has used up what its holder may use
    ├── ConfigurationError (ValueError)        the operator's: a setting names something impossible
    ├── ModelError                             the model's side of the street
    │   ├── UpstreamUnavailable (ConnectionError)  nobody answers, or answers 5xx
    │   │   └── RateLimited                        it answers 429
    │   ├── UpstreamRefused (PermissionError)      wrong or missing key, unknown model
    │   ├── UpstreamInterrupted (ConnectionError)  the stream ended before the answer did
    │   ├── MalformedModelOutput (ValueError)      the model said what no tool can carry out
    │   └── OutOfScript (LookupError)              the scripted model was asked for what it does not know
    └── SandboxError                           the sandbox's side
        ├── EngineUnavailable (ConnectionError)    no engine, no bwrap, no user namespaces
        ├── ImageMissing (LookupError)             the image or toolbox is not prepared
        ├── PreparationFailed                      that image or toolbox could not be made
        ├── IsolationUnavailable                   the asked-for OCI runtime is not installed
        ├── LimitUnavailable                       an asked-for limit that this backend cannot keep
        ├── SandboxStartFailed                     it was there, but did not come up
        ├── SandboxGone                            it existed and is dead: its files may be lost
        ├── SandboxUnreachable (ConnectionError)   it may be alive, but nobody answers now
        ├── ConnectDenied (PermissionError)        a connection out of the sandbox that the host refuses
        ├── ChannelBroken (ConnectionError)        the stream said something that the protocol does not have
        └── SandboxFileError (OSError)             a path inside cannot be read or written
"""

from __future__ import annotations

from typing import ClassVar, Literal

Fault = Literal["caller", "operator", "model", "sandbox"]


class AgentKernelError(Exception):
    """Base of all errors here: `message` says what happened, `hint` what to do about it."""

    fault: ClassVar[Fault] = "operator"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InvalidRequest(AgentKernelError, ValueError):
    """The request is wrong; `param` names the field, as in the API's error object. HTTP 400."""

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


class TooSlow(InvalidRequest):
    """A body did not come in time. HTTP 408."""


class Unauthorized(AgentKernelError, PermissionError):
    """No key, a wrong one, or one that was revoked. HTTP 401."""

    fault: ClassVar[Fault] = "caller"
    code: ClassVar[str | None] = "invalid_api_key"


class LimitReached(AgentKernelError):
    """The holder of a key has used up what the key allows; nothing has changed. HTTP 429.

    `request_code` names the limit. `retry_after` is in seconds; None: it takes more than waiting.
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
    """A setting names something that cannot be had; never replaced by a weaker choice."""


class ModelError(AgentKernelError):
    """Anything that went wrong between us and a model."""

    fault: ClassVar[Fault] = "model"


class UpstreamUnavailable(ModelError, ConnectionError):
    """Nobody answers at the upstream's address, or it answers with 429 or 5xx.

    `retry_after` is for how many seconds it asks to be left alone, None where it does not say.
    """

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RateLimited(UpstreamUnavailable):
    """The upstream wants fewer requests (429)."""

    code: ClassVar[str | None] = "rate_limit_exceeded"


class UpstreamRefused(ModelError, PermissionError):
    """The upstream answered and said no: a wrong key, an unknown model, a request it will not take."""

    fault: ClassVar[Fault] = "operator"


class UpstreamInterrupted(ModelError, ConnectionError):
    """The stream broke off before the model had finished."""


class MalformedModelOutput(ModelError, ValueError):
    """The model called a tool in a way that cannot be carried out."""


class OutOfScript(ModelError, LookupError):
    """The scripted model has no turn for this input; the message names those it has."""

    fault: ClassVar[Fault] = "caller"


class SandboxError(AgentKernelError):
    """Anything that went wrong between us and a sandbox."""

    fault: ClassVar[Fault] = "sandbox"


class EngineUnavailable(SandboxError, ConnectionError):
    """The backend itself is missing or refuses: no engine answers, no bwrap, no user namespaces."""

    fault: ClassVar[Fault] = "operator"


class ImageMissing(SandboxError, LookupError):
    """The image (Docker) or the toolbox environment (bubblewrap) is not there."""

    fault: ClassVar[Fault] = "operator"


class PreparationFailed(SandboxError):
    """The image or the toolbox could not be made; nothing of the attempt is left behind."""

    fault: ClassVar[Fault] = "operator"


class IsolationUnavailable(SandboxError):
    """The engine does not have the isolation runtime that was asked for."""

    fault: ClassVar[Fault] = "operator"


class LimitUnavailable(SandboxError):
    """A limit was asked for that cannot be kept here; nothing is started without it."""

    fault: ClassVar[Fault] = "operator"


class SandboxStartFailed(SandboxError):
    """The sandbox did not come up; nothing of it is left behind."""


class SandboxGone(SandboxError):
    """The sandbox existed and is dead now (killed, expired, removed)."""


class SandboxUnreachable(SandboxError, ConnectionError):
    """Nobody answers, and nobody knows that it is dead: try again."""


class ConnectDenied(SandboxError, PermissionError):
    """The host refuses a connection out of the sandbox; the message says why."""

    fault: ClassVar[Fault] = "caller"


class ChannelBroken(SandboxError, ConnectionError):
    """The sandbox broke the stream protocol, or speaks another version; the stream is closed."""


class SandboxFileError(SandboxError, OSError):
    """A file operation inside the sandbox failed; the message has the path and the system's reason."""

    fault: ClassVar[Fault] = "caller"
