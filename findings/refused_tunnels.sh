#!/bin/sh
# pip 26.0 and uv 0.9.30 behind a proxy that refuses the host.
#
# Seen on 2026-11-29: a proxy that does not allow a host answers CONNECT with 403 and a reason as text. That is
# final, but pip asks 6 times, with pauses that add up to 8 seconds, and uv 4 times. Neither shows the reason. pip
# ends with "No matching distribution found", as for a name that does not exist, and uv with "tunnel error:
# unsuccessful", without the 403. So whoever runs a proxy with an allowlist has to say the reason elsewhere, and a
# command needs more than 8 seconds until it fails.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip==26.0 uv==0.9.30
cd "$folder"
PATH="$folder/venv/bin:$PATH" python - <<'END'
import asyncio
import os

REASON = b"index.test is not in the allowlist"
HEAD = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
INDEX = "https://index.test/simple"
COMMANDS = {
    "pip": ["python", "-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir", "--index-url", INDEX, "thing"],
    "uv": ["uv", "pip", "install", "--no-cache", "--index-url", INDEX, "thing"],
}
EXPECTED = {"pip": (6, b"No matching distribution found", True), "uv": (4, b"tunnel error: unsuccessful", False)}


async def main() -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD % len(REASON) + REASON)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    kept = {"PATH": os.environ["PATH"], "HOME": os.getcwd(), "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
    for name, command in COMMANDS.items():
        asked.clear()
        environment = {**kept, "https_proxy": proxy, "HTTPS_PROXY": proxy}
        pipe = asyncio.subprocess.PIPE
        made = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
        text = b"".join(await made.communicate())
        times, message, status = EXPECTED[name]
        print(f"{name}: exit code {made.returncode}, asked the proxy {len(asked)} times, shows the reason:", REASON in text)
        print("   ", text.decode().strip().splitlines()[-1].strip())
        assert made.returncode and len(asked) == times and message in text and REASON not in text, text
        assert (b"403" in text) == status, text


asyncio.run(main())
END
