"""An upstream: its address, its client, and the translation of its errors."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx2
import openai

from agent_kernel.errors import (
    ConfigurationError,
    ContextLengthExceeded,
    ModelError,
    RateLimited,
    UpstreamInterrupted,
    UpstreamRefused,
    UpstreamUnavailable,
)
from agent_kernel.models.masking import masking
from agent_kernel.models.reading.incoming import Events, Incoming
from agent_kernel.models.reading.overflow import Overflow, overflow_in
from agent_kernel.models.reading.reported import Reported, is_hopeless, reported, reported_in
from agent_kernel.models.reading.whole_body import events_of
from agent_kernel.models.retry import RetryPolicy, retry_after
from agent_kernel.models.sending.client import OpenAIClient, UpstreamClient
from agent_kernel.models.windows import known_window

log = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"

_KEY_SETTING = "AGENT_KERNEL_UPSTREAM_KEY"
_URL_SETTING = "AGENT_KERNEL_UPSTREAM_URL"
_EXCERPT = 400  # characters of an upstream's own message
_CONNECT = 10.0  # seconds

TOO_LONG_HINT = (
    "Start a new conversation, send less, choose a model with a larger window, or start the model's server"
    " with a larger one."
)
"""The hint for a request that does not fit."""

SILENCE = 600.0
MOST_BYTES = 1 << 27
"""Bytes of one answer, with all that surrounds its text: about 300 for each token."""
DEFAULT_RETRY = RetryPolicy()

T = TypeVar("T")


class Upstream:
    """A server of the Responses or the Chat Completions API. That of another API is a subclass.

    `url` is the base URL (`.../v1`), `key` the bearer key, or None for servers without one. `silence` is the
    longest pause in seconds, before the answer and within it. `settings` names the settings for address and
    key, for error messages. `window` is the size of its models' context windows in tokens, None if it is not
    known. `most_bytes` limits one answer, so that no answer fills the memory. The key never appears in a
    message or a log. White space around it is dropped. Raises `ConfigurationError` for a key with characters
    that no HTTP header can have.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        retry: RetryPolicy = DEFAULT_RETRY,
        silence: float = SILENCE,
        settings: tuple[str, str] = (_URL_SETTING, _KEY_SETTING),
        window: int | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.url = url = self._base(url)
        self._most_bytes = most_bytes
        self._key = key = (key or "").strip() or None
        self._mask = masking(key)
        self._retry = retry
        self._silence = silence
        self._window = window
        self._url_setting, self._key_setting = settings
        if key and not (key.isascii() and key.isprintable()):  # HTTP libraries quote it in their errors
            raise ConfigurationError(
                "The key of the upstream has characters that cannot be sent.",
                hint=f"Look for line breaks and letters outside ASCII in {self._key_setting}.",
            )
        parts = urlsplit(url)
        # Without a user name and password, if the URL has them.
        self.address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
        self.is_openai = f".{parts.hostname or ''}".endswith(".openai.com")
        # A placeholder if there is no key: otherwise the package would take one from the environment.
        timeout = openai.Timeout(silence, connect=min(silence, _CONNECT))
        self.sender = self._client(url, key or "none", timeout)

    @property
    def tells_all(self) -> bool:
        """Whether the list of models has all that the server tells about them."""
        return self.is_openai

    def _base(self, url: str) -> str:
        """Return the base URL of a configured address."""
        return url

    def _client(self, url: str, key: str, timeout: httpx2.Timeout) -> UpstreamClient:
        """Make the client of the API."""
        made = OpenAIClient(url, key, timeout)
        if not self.is_openai:  # they come from the environment too, and are meant for OpenAI only
            made.client.organization = made.client.project = None
            made.client._custom_headers = {}
        return made

    @property
    def client(self) -> openai.AsyncOpenAI:
        """The client of the `openai` package, for the other endpoints of its API."""
        assert isinstance(self.sender, OpenAIClient)  # noqa: S101 (a caller's mistake)
        return self.sender.client

    def origin(self, model: str) -> str:
        """Return an opaque fingerprint of this upstream and model."""
        return sha256(f"{self.address}\n{model}".encode()).hexdigest()[:12]

    def window(self, model: str) -> int | None:
        """Return the size of a model's context window; see `models.base.HasWindow`."""
        return self._window or (known_window(model) if self.is_openai else None)

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self.sender.aclose()

    async def persistently(self, attempt: Callable[[], AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
        """Pass an answer on, and repeat the request if it fails before the first word.

        A later failure is raised, because part of the answer may have been shown or run already. The failure
        of the last attempt is raised too. Closing the generator ends the attempt, or the wait for the next.
        """
        failures = 0
        while True:
            begun = False
            try:
                async with aclosing(attempt()) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
            except (UpstreamUnavailable, UpstreamInterrupted) as error:
                failures += 1
                asked = error.retry_after if isinstance(error, UpstreamUnavailable) else None
                wait = None if begun else self._retry.wait(failures, asked)
                if wait is None:
                    raise
                log.warning("%s Attempt %d follows in %.1f s.", error.message, failures + 1, wait)
            else:
                return
            await self._retry.sleep(wait)

    @asynccontextmanager
    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Events, None]:
        """Send `body` to `path` and yield the events of the answer, as JSON.

        The package sends the request. Its stream is not used, because it builds a model of each event: that
        was two thirds of a text turn's processor time. A server that answers with one JSON body is read like
        a stream of one event.

        Raises `UpstreamUnavailable` and `UpstreamRefused` before the first event, and `UpstreamInterrupted`
        after it. `ContextLengthExceeded` may come at either time. Any other 400 or 422 is raised as the
        package's own error: the caller may repeat the request without the refused part, and otherwise calls
        `refusal`. Leaving the context ends the request.
        """
        try:
            response = await self.sender.post(path, body)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if overflow_in(error.body) is None:
                raise
            raise self.refusal(error) from None
        except openai.OpenAIError as error:
            raise self.refusal(error) from None
        incoming = Incoming(response, self._check_size)
        try:
            async with aclosing(self._watched(incoming)) as events:
                yield Events(events, incoming)
        finally:
            await response.aclose()

    async def _watched(self, incoming: Incoming) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(incoming.events()) as events:
                async for event in events:
                    if (error := _reported_by(event)) is not None:
                        raise self.failure(error)
                    yield event
            if incoming.body:
                for event in self._whole(json.loads(incoming.body)):
                    yield event
        except httpx2.TimeoutException:
            raise self.interrupted(f"it sent nothing for {self._silence:g} seconds") from None
        except (httpx2.RequestError, ssl.SSLError, anyio.EndOfStream) as error:
            raise self.interrupted(f"the connection was lost ({self.scrub(_cause(error))})") from None
        except (ValueError, RecursionError):  # JSON and UTF-8 errors, whose text may hold anything
            said = self.scrub(incoming.error_text())
            why = "it sent something that is not an event"
            raise self.interrupted(f"{why}: {said}" if said else why) from None

    def _check_size(self, read: int) -> None:
        if read > self._most_bytes:
            raise self.interrupted(f"it sent more than {self._most_bytes:,} bytes in one answer")

    def _whole(self, body: Any) -> Iterator[Any]:
        error = reported_in(body)
        if error is None:
            yield from events_of(body)
        elif error.may_pass and not error.is_hopeless:
            raise UpstreamUnavailable(
                f"The model at {self.address} cannot answer now: {self.scrub(error.message)}",
                hint="Try again later.",
            )
        else:
            raise self.failure(error, final=True)

    def interrupted(self, why: str) -> UpstreamInterrupted:
        """Return the error for an answer that broke off."""
        return UpstreamInterrupted(
            f"The model at {self.address} broke off in the middle of its answer: {why.rstrip('.')}.",
            hint="Everything up to that point is kept. Send the request again.",
        )

    def unended(self, lacking: str, events: Events) -> UpstreamInterrupted:
        """Return the error for an answer that ended early. `lacking` is what shows the end of an answer."""
        why, text = f"the stream ended without {lacking}", self.scrub(events.text())
        return self.interrupted(f"{why}. It sent: {text}" if text else why)

    def reading(self, deltas: Iterator[T]) -> Iterator[T]:
        """Pass on what a reader makes of an event. Raises `UpstreamInterrupted` if it cannot be read."""
        try:
            yield from deltas
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            log.warning("An event of the model at %s cannot be read.", self.address, exc_info=error)
            raise self.interrupted(f"it sent an event of unknown form ({type(error).__name__})") from None

    def failure(self, error: Reported, *, final: bool = False) -> ModelError:
        """Return the error for a failure that the upstream reports in its answer.

        `final`: it is not asked again.
        """
        said = self.scrub(error.message)
        for code in error.codes or (None,):
            if (overflow := overflow_in(error.message, code)) is not None:
                return self._too_long(overflow, said)
        if final or error.is_hopeless:
            return UpstreamRefused(f"The model at {self.address} refused the request: {said}")
        return self.interrupted(said)

    def refusal(self, error: openai.OpenAIError) -> ModelError:
        """Translate an error that the package raised before the first event."""
        if isinstance(error, openai.APITimeoutError):
            return UpstreamUnavailable(
                f"The model at {self.address} did not answer for {self._silence:g} seconds.",
                hint="Try again later.",
            )
        if isinstance(error, openai.APIConnectionError):
            return UpstreamUnavailable(
                f"No server answers at {self.address} ({self.scrub(_cause(error))}).",
                hint=f"Start the model server, or set {self._url_setting} to its address.",
            )
        if isinstance(error, openai.APIStatusError):
            return self._status(error)
        return UpstreamRefused(f"The model at {self.address}: {self.scrub(str(error))}")

    def _status(self, error: openai.APIStatusError) -> ModelError:
        status, said = error.status_code, self.scrub(_said(error))
        if status == 401:  # the server's own message may quote the key
            what = "the key" if self._key else "a request without a key"
            return UpstreamRefused(
                f"The model at {self.address} refused {what} (401).",
                hint=f"Set {self._key_setting} to a valid key.",
            )
        if (overflow := _overflow(error)) is not None:
            return self._too_long(overflow, said)
        # Servers give other statuses any type, but a 500 of the type of a wrong request stays one.
        kinds = (error.code, error.type) if status == 500 else (error.code,)
        if (status in (408, 409, 429) or status >= 500) and not is_hopeless(*kinds):
            asked = retry_after(error.response.headers)
            kind = RateLimited if status == 429 else UpstreamUnavailable
            return kind(
                f"The model at {self.address} cannot answer now ({status}): {said}",
                hint=f"Try again in {asked:.0f} seconds." if asked else "Try again later.",
                retry_after=asked,
            )
        hint = f"Check the model's name and {self._url_setting}." if status == 404 else None
        return UpstreamRefused(
            f"The model at {self.address} refused the request ({status}): {said}", hint=hint
        )

    def _too_long(self, overflow: Overflow, said: str) -> ContextLengthExceeded:
        return ContextLengthExceeded(
            f"The request does not fit the context window of the model at {self.address}"
            f"{overflow.described()}: {said.rstrip('.')}.",
            hint=TOO_LONG_HINT,
            tokens=overflow.tokens,
            window=overflow.window,
        )

    def scrub(self, text: str) -> str:
        """Return an upstream's message, shortened and without the key."""
        text = " ".join(self._mask(text).split())
        return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"


def _overflow(error: openai.APIStatusError) -> Overflow | None:
    """Return the overflow that a status reports. A body over the server's limit is one too."""
    if error.status_code == 413:
        return overflow_in(error.body) or Overflow()
    if error.status_code == 429:  # more tokens than fit in a minute: a retry would never get through
        return overflow_in(error.body) if "request too large" in _said(error).lower() else None
    return overflow_in(error.body)


def _reported_by(event: Any) -> Reported | None:
    """Return the error that an event is: one with an error, or without choices whose type names an error.

    Raises `ValueError` for an event that is neither an object nor a text.
    """
    if isinstance(event, str):
        return Reported(event)
    if not isinstance(event, dict):
        raise ValueError("An event is an object.")
    if error := event.get("error"):
        return reported(error)
    kind = event.get("type")
    if (kind is None or "error" in str(kind)) and not event.get("choices"):
        return reported_in(event)
    return None


def _said(error: openai.APIStatusError) -> str:
    return reported(error.body).message if error.body else "no reason given"


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
