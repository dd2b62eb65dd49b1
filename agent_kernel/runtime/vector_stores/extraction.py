"""Reads the text of files: plain text here, all other kinds in a sandbox without a network.

A file is hostile, and so are libraries that parse it. They run in a sandbox of the configured kind, which is
made for the files of one tenant that wait, and deleted after them. What it returns is a claim: bounded text.
"""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from io import BytesIO
from pathlib import Path

from agent_kernel.errors import ConfigurationError, SandboxFileError
from agent_kernel.runtime.vector_stores.plain_text import HEAD, Kind, decoded, kind_of
from agent_kernel.sandboxes.base import WORKSPACE
from agent_kernel.sandboxes.calls import Exited, Output
from agent_kernel.sandboxes.channel import Channel
from agent_kernel.tools.web_search import page_text

SECONDS = 120.0
"""The longest that reading one file may take."""

_SAID = 200
"""Characters of the reason that a sandbox gives."""

_PROGRAM, _LIBRARIES = f"{WORKSPACE}/program.zip", f"{WORKSPACE}/libraries.zip"
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from agent_kernel.runtime.vector_stores.inside.extract import main; sys.exit(main(*sys.argv[2:]))"
)
_FILE, _TEXT = f"{WORKSPACE}/file", f"{WORKSPACE}/text"

OpenSandbox = Callable[[AsyncExitStack], Awaitable[Channel]]
"""Makes a sandbox that the stack deletes."""


class UnreadableFile(Exception):
    """The text of a file cannot be read. `code` is the API's: `unsupported_file` or `invalid_file`."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class Extraction:
    """Reads the files of one tenant. `limit` is in bytes of text, for each file. Close it after use.

    Raises `UnreadableFile`; `SandboxError` if no sandbox can be had.
    """

    def __init__(self, open_sandbox: OpenSandbox, limit: int) -> None:
        self._open = open_sandbox
        self._limit = limit
        self._stack = AsyncExitStack()
        self._channel: Channel | None = None

    async def text(self, filename: str, content: AsyncGenerator[bytes, None]) -> AsyncGenerator[str, None]:
        """Yield the text of a file in pieces. Closes `content`."""
        async with aclosing(content):
            head = await _head(content)
            kind = kind_of(filename, head)
            if kind == "unsupported":
                raise UnreadableFile("unsupported_file", "Files of this kind have no text to search.")
            source = _joined(head, content)
            if kind != "text":
                source = self._from_sandbox(kind, source)
            async with aclosing(source), aclosing(decoded(self._bounded(source))) as pieces:
                async for piece in pieces:
                    yield piece

    async def aclose(self) -> None:
        """Delete the sandbox, if there is one."""
        self._channel = None
        await self._stack.aclose()

    async def _bounded(self, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        left = self._limit
        async for chunk in source:
            left -= len(chunk)
            if left < 0:
                raise UnreadableFile("invalid_file", f"Its text is longer than {self._limit} bytes.")
            yield chunk

    async def _from_sandbox(self, kind: Kind, source: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the text as UTF-8."""
        channel = await self._ready()
        await channel.put(_FILE, source, within=WORKSPACE)
        arguments = [kind, _FILE, _TEXT, str(self._limit), _LIBRARIES if kind == "pdf" else ""]
        await _run(channel, ["python3", "-I", "-c", _START, _PROGRAM, *arguments])
        try:
            async with aclosing(channel.get(_TEXT, within=WORKSPACE)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except SandboxFileError:
            raise UnreadableFile("invalid_file", "Its text could not be read.") from None
        for path in (_FILE, _TEXT):
            await channel.remove(path, within=WORKSPACE)

    async def _ready(self) -> Channel:
        if self._channel is not None and not self._channel.closed.is_set():
            return self._channel
        await self.aclose()
        libraries = packed_libraries()
        self._stack = AsyncExitStack()
        channel = await self._open(self._stack)
        await channel.put(_PROGRAM, _once(packed_program()), within=WORKSPACE)
        await channel.put(_LIBRARIES, _once(libraries), within=WORKSPACE)
        self._channel = channel
        return channel


async def _run(channel: Channel, command: list[str]) -> None:
    """Run the program. Raises `UnreadableFile` with the reason that it gives."""
    said = ""
    async with aclosing(channel.run(shlex.join(command), timeout=SECONDS)) as events:
        async for event in events:
            if isinstance(event, Output) and event.stream == "stdout":
                said = (said + event.data.decode("utf-8", "replace"))[:_SAID]
            elif isinstance(event, Exited) and event.code == 0:
                return
            elif isinstance(event, Exited) and event.reached:
                raise UnreadableFile("invalid_file", f"Reading it failed: {event.reached[0][:_SAID]}.")
            elif isinstance(event, Exited):
                kind, _, why = said.strip().partition(": ")
                code = "unsupported_file" if kind == "unsupported" else "invalid_file"
                shown = "".join(each for each in why if each.isprintable())
                raise UnreadableFile(code, f"Its text cannot be read: {shown or 'the program failed'}.")
    raise UnreadableFile("invalid_file", f"Reading it takes longer than {SECONDS:g} seconds.")


@cache
def packed_program() -> bytes:
    """Return the program that runs in the sandbox, as an archive of those of our modules that it needs."""
    inside = Path(__file__).parent / "inside"
    root = Path(__file__).parents[3]
    modules = [*inside.glob("*.py"), Path(page_text.__file__)]
    packages = {folder for each in modules for folder in each.parents if root in folder.parents}
    return _packed(
        {f"{folder.relative_to(root)}/__init__.py": inside / "__init__.py" for folder in packages}
        | {str(each.relative_to(root)): each for each in modules}
    )


@cache
def packed_libraries() -> bytes:
    """Return the libraries that the program needs, as an archive of Python modules.

    They are sent along, so that every sandbox has those of this installation. Raises `ConfigurationError`.
    """
    try:
        found = [each for name in ("pypdf", "typing_extensions") for each in files(name) or ()]
    except PackageNotFoundError:
        raise ConfigurationError(
            "Files other than plain text need pypdf, which is not installed.",
            hint="Run: pip install 'jupyter-agent-kernel[files]'",
        ) from None
    modules = [each for each in found if each.suffix == ".py" and ".." not in each.parts]
    return _packed({str(each): Path(str(each.locate())) for each in modules})


def _packed(modules: Mapping[str, Path]) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in modules.items():
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return packed.getvalue()


async def _head(content: AsyncIterable[bytes]) -> bytes:
    head = b""
    async for chunk in content:
        head += chunk
        if len(head) >= HEAD:
            break
    return head


async def _joined(head: bytes, rest: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    yield head
    async for chunk in rest:
        yield chunk


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content
