"""What may be in a request that is read here, and what its responses turn into."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from agent_kernel.egress.gate import NotForwarded
from agent_kernel.egress.names import UnusableName, canonical, shown
from agent_kernel.egress.secret_hosts import AllowedTarget
from agent_kernel.egress.tls.coding import BodyDecoder, Identity, decoder, offered
from agent_kernel.egress.tls.needles import NeedleStream
from agent_kernel.egress.tls.secrets import Headers, HostSecrets, Misplaced

MAX_HEAD = 64 << 10
"""Bytes of a request's or response's head."""

HTTPS_PORT = 443
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings")
)


class HttpRefused(NotForwarded):
    """A request or a response is not forwarded. The program inside gets a 403 with the reason."""


class ResponseBody:
    """The body of a response, decoded, with placeholders instead of values."""

    def __init__(self, coding: BodyDecoder, hidden: NeedleStream) -> None:
        self._coding = coding
        self._hidden = hidden

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; yield pieces of bounded size. Exhaust it before the next call. Raises `OSError`."""
        for piece in self._coding.feed(data):
            if passed := self._hidden.feed(piece):
                yield passed

    def end(self) -> bytes:
        """Return the last piece. Raises `OSError` if the body is not complete."""
        self._coding.end()
        return self._hidden.end()


class RequestBody:
    """The body of a request. It is not changed, so a placeholder in it is refused."""

    def __init__(self, secrets: HostSecrets) -> None:
        self._secrets = secrets
        self._stream = NeedleStream(secrets.placeholders, self._check)

    def feed(self, data: bytes) -> bytes:
        """Take bytes, and return those that may be forwarded. Raises `HttpRefused`."""
        return self._stream.feed(data)

    def end(self) -> bytes:
        """Return the last bytes."""
        return self._stream.end()

    def _check(self, data: bytes) -> bytes:
        if self._secrets.placeholders.found_in(data):
            raise HttpRefused("a secret is used in the body of a request; only headers can have one")
        return data


class Heads:
    """Checks and changes the heads of one connection. Header names are in lower case."""

    def __init__(self, secrets: HostSecrets, to: AllowedTarget) -> None:
        self.secrets = secrets
        self._to = to

    def request(self, method: bytes, target: bytes, authority: bytes | None, headers: Headers) -> Headers:
        """Return the headers to forward, with the values in place. Raises `HttpRefused`.

        `authority` is the value of `Host` or `:authority`, and is not among `headers`.
        """
        if method == b"CONNECT":
            raise HttpRefused(f"CONNECT is not allowed in a connection to a host {self._kind}")
        if (why := self._to.rule.forbids(method)) is not None:
            raise HttpRefused(why)
        if any(name == b"upgrade" for name, _ in headers):
            raise self.no_upgrade()
        self._check_authority(authority)
        if self.secrets.placeholders.found_in(method):
            raise HttpRefused("a secret is used as the method of a request; only headers can have one")
        if self.secrets.placeholders.found_in(unquote_to_bytes(target)):
            raise HttpRefused("a secret is used in the address of a request; only headers can have one")
        return self._filled([(name, self._asked(name, value)) for name, value in end_to_end(headers)])

    def no_upgrade(self) -> HttpRefused:
        """Return the refusal of a request for another protocol."""
        return HttpRefused(f"WebSockets and other upgrades are not possible to a host {self._kind}")

    @property
    def _kind(self) -> str:
        return "that may only be read" if self._to.rule.read_only else "with a secret"

    def trailers(self, headers: Headers) -> Headers:
        """Return a request's trailers. Raises `HttpRefused` if there is a placeholder."""
        if any(self.secrets.placeholders.found_in(name + b" " + value) for name, value in headers):
            raise HttpRefused("a secret is used in a trailer of a request; only headers can have one")
        return headers

    def response(self, headers: Headers) -> tuple[Headers, ResponseBody]:
        """Return a response's headers without its length and coding, and what its body turns into.

        Where there is no value to hide, the body and these headers pass as they are. Raises `HttpRefused` for
        a coding that cannot be read here.
        """
        hidden = NeedleStream(self.secrets.hidden, self.secrets.hidden.replace)
        if not self.secrets.hidden:
            return end_to_end(headers), ResponseBody(Identity(), hidden)
        coding = b", ".join(value for name, value in headers if name == b"content-encoding").decode("latin-1")
        reader = decoder(coding)
        if reader is None:
            text = shown(self.secrets.hidden.replace(coding.encode("latin-1")).decode("latin-1"))
            raise HttpRefused(f"the response has the content coding {text}, in which no secret can be found")
        dropped = {b"content-length"} if isinstance(reader, Identity) else _OF_CODING
        kept = [(name, value) for name, value in self.masked(headers) if name not in dropped]
        return kept, ResponseBody(reader, hidden)

    def masked(self, headers: Headers) -> Headers:
        """Return a response's headers or trailers with placeholders instead of values."""
        hide = self.secrets.hidden.replace
        return [(hide(name), hide(value)) for name, value in end_to_end(headers)]

    def _asked(self, name: bytes, value: bytes) -> bytes:
        if name == b"accept-encoding" and self.secrets.hidden:
            return offered(value.decode("latin-1")).encode("latin-1")
        return value

    def _filled(self, headers: Headers) -> Headers:
        try:
            return self.secrets.filled(headers)
        except Misplaced as error:
            raise HttpRefused(str(error)) from None

    def _check_authority(self, authority: bytes | None) -> None:
        """Require that `name` or `name:port` is the connection's destination."""
        if authority is None:
            raise HttpRefused("its HTTP request names no host")
        host, _, port = authority.decode("latin-1").partition(":")
        try:
            same = canonical(host) == self._to.name
        except UnusableName:
            same = False
        allowed = {str(self._to.port), *([""] if self._to.port == HTTPS_PORT else [])}
        if not same or port not in allowed:
            raise HttpRefused(
                f"its HTTP request names a different host: {shown(authority.decode('latin-1'))}"
            )


_OF_CODING = frozenset((b"content-length", b"content-encoding"))


def end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the headers without those that are about one connection."""
    named = {
        option.strip().lower()
        for name, value in headers
        if name == b"connection"
        for option in value.split(b",")
    }
    return [(name, value) for name, value in headers if name not in _HOP_BY_HOP and name not in named]


def page(reason: str) -> bytes:
    """Return the text of a 403."""
    return f"This connection out of the sandbox was refused: {reason}.\n".encode()
