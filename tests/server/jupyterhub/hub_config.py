# mypy: disable-error-code="name-defined"
"""The shipped configuration of a hub, with users of a test: no password is checked, nobody has a home."""

import json
import os
import sys
from pathlib import Path

PORTS = json.loads(os.environ["HUB_TEST_PORTS"])
FOLDER = Path(os.environ["HUB_TEST_FOLDER"])

load_subconfig(os.environ["HUB_TEST_SHIPPED"])  # noqa: F821 (JupyterHub defines it)
c = get_config()  # noqa: F821

give_key = c.Spawner.pre_spawn_hook


async def note_environment(spawner):  # type: ignore[no-untyped-def]
    """Give a user's server its key, and note what its environment is."""
    await give_key(spawner)
    (FOLDER / f"{spawner.user.name}.json").write_text(json.dumps(spawner.get_env()))


c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(FOLDER / "{username}")
c.Spawner.pre_spawn_hook = note_environment
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.env_keep = [*c.Spawner.env_keep, "JUPYTER_PATH"]
c.JupyterHub.bind_url = f"http://127.0.0.1:{PORTS['proxy']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORTS['hub']}"
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.cookie_secret = os.urandom(32)
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORTS['routes']}"
c.ConfigurableHTTPProxy.command = json.loads(os.environ["HUB_TEST_PROXY"])
c.ConfigurableHTTPProxy.pid_file = str(FOLDER / "proxy.pid")
