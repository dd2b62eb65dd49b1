"""JupyterHub with one `agent-kernel serve` for everybody; each user has a key of their own.

    pip install jupyterhub "jupyter-agent-kernel[lab,serve]"
    jupyterhub -f jupyterhub_config.py

The hub starts the server as a service. Before it starts a user's server it makes a new key with the user's
name and puts it into that server's environment, where the kernel finds it; the last one is refused from then
on. So a user cannot be anybody else for the server, whatever runs in the notebook.

The server's settings are the `AGENT_KERNEL_` and provider variables of the hub's environment. Users get none
of them: no key of a model, no password of a database. `HUB_AGENT_USER` is the user of the machine as which
the server runs, and who owns its data folder; without it, it is the hub's.
"""

import asyncio
import hashlib
import os
import re
import secrets
import sys

c = get_config()  # noqa: F821 (JupyterHub defines it)

AGENT = [sys.executable, "-m", "agent_kernel"]
PORT = int(os.environ.get("HUB_AGENT_PORT", "8642"))
USER = os.environ.get("HUB_AGENT_USER")
SETTINGS = {
    name: value
    for name, value in os.environ.items()
    if name.startswith(("AGENT_KERNEL_", "OPENAI_", "ANTHROPIC_")) or name in ("PATH", "PYTHONPATH", "LANG")
}
MASTER = secrets.token_urlsafe(32)
"""The server's own key. Nobody has it; with it, no request without a key is ever served."""


def key_name(user):
    """Return the name of a user's key, which has fewer characters to choose from than a user's name."""
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,59}", user):
        return f"hub-{user}"
    return f"hubx-{hashlib.sha256(user.encode()).hexdigest()[:48]}"


async def agent_keys(*words):
    """Run `agent-kernel keys` where the server's store is; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *AGENT,
        "keys",
        *words,
        env=SETTINGS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        **({"user": USER} if USER else {}),
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode().strip()


async def give_key(spawner):
    """Make the user's key, and tell the user's kernels where the server is."""
    name = key_name(spawner.user.name)
    await agent_keys("revoke", name)  # the one of the last start, if there is one
    failed, key = await agent_keys("create", name)
    if failed:
        raise RuntimeError("The agent's server cannot make a key; its data folder or database may be away.")
    spawner.environment = {
        **spawner.environment,
        "AGENT_KERNEL_RUNTIME_URL": f"http://127.0.0.1:{PORT}/v1",
        "AGENT_KERNEL_API_KEY": key,
    }


c.JupyterHub.services.append(  # The Littlest JupyterHub has services of its own, which stay
    {
        "name": "agent-kernel",
        "command": [*AGENT, "serve", "--port", str(PORT)],
        "environment": {**SETTINGS, "AGENT_KERNEL_API_KEY": MASTER},
        **({"user": USER} if USER else {}),
    }
)
c.Spawner.pre_spawn_hook = give_key
c.Spawner.env_keep = [
    "PATH",
    "PYTHONPATH",
    "LANG",
    "LC_ALL",
    "VIRTUAL_ENV",
    "CONDA_ROOT",
    "CONDA_DEFAULT_ENV",
]
