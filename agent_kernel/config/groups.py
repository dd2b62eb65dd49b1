"""The settings of the sandbox, the runtime, containers, approvals and the server."""

from __future__ import annotations

import tomllib
from pathlib import Path

from traitlets import Bool, Float, Int, Unicode
from traitlets.config import Configurable

from agent_kernel.config.choice import Choice, sandbox_words
from agent_kernel.errors import ConfigurationError
from agent_kernel.policy.rules import MODES, STRICTNESS, Policy, read_policy


class SandboxSettings(Configurable):
    """The sandboxes in which commands run."""

    sandbox = Choice(
        "auto",
        help="""`docker`, `bubblewrap`, `kubernetes`, a backend of another package, or `auto`: Docker if an
        engine answers, otherwise bubblewrap.""",
    ).tag(
        config=True,
        variable="AGENT_KERNEL_SANDBOX",
        words=("auto", "docker", "bubblewrap", "kubernetes"),
        more=sandbox_words,
    )
    image = Unicode(
        "",
        help="""Docker image of the sandboxes; it needs bash and Python >= 3.8. Empty: the toolbox image that
        `agent-kernel image build` makes.""",
    ).tag(config=True, variable="AGENT_KERNEL_IMAGE")
    prepare = Bool(
        True,
        help="""Prepare the toolbox or the toolbox image when the first container needs it and it is missing.
        Off: that container is refused, and `agent-kernel image build` prepares it.""",
    ).tag(config=True, variable="AGENT_KERNEL_PREPARE")
    docker_runtime = Unicode(
        "",
        help="""OCI runtime of the engine: `runc`, `runsc` (gVisor), `kata` ... Empty: the engine's own.""",
    ).tag(config=True, variable="AGENT_KERNEL_DOCKER_RUNTIME")
    backend_settings = Unicode(
        "",
        help="""A YAML file with more settings of the backend; see docs/kubernetes.md. Empty: defaults.""",
    ).tag(config=True, variable="AGENT_KERNEL_BACKEND_SETTINGS")


class RuntimeSettings(Configurable):
    """Where turns run, and what is stored of them."""

    runtime_url = Unicode(
        "",
        help="""Address of a Responses server (such as `agent-kernel serve`), up to and including `/v1`, that
        the kernel uses. Empty: the kernel runs turns itself.""",
    ).tag(config=True, variable="AGENT_KERNEL_RUNTIME_URL")
    api_key = Unicode(
        "",
        help="""The server's own key: `serve` requires it, a kernel with a runtime URL sends it. Empty: no
        key; `serve` then listens on loopback only.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_API_KEY")
    data_dir = Unicode(
        "",
        help="""Folder of the store, the toolbox and the embedded sandboxes. Empty: `agent-kernel` in
        Jupyter's data folder.""",
    ).tag(config=True, variable="AGENT_KERNEL_DATA_DIR")
    store = Unicode(
        "sqlite",
        help="""Where responses, conversations and containers are recorded: `sqlite`, a file in the data
        folder, or `postgresql://USER:PASSWORD@HOST/DATABASE`, which needs the extra `postgres`. Servers
        on several machines can share the latter.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_STORE")
    blobs = Unicode(
        "",
        help="""Bucket for the bytes of uploaded files and skills, as
        `s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION`, of which only BUCKET is required;
        it needs the extra `s3`. Empty: they are in the store.""",
    ).tag(config=True, variable="AGENT_KERNEL_BLOBS")
    skills = Unicode(
        "",
        help="""Folder with skills that requests may name: each is a folder with a `SKILL.md`. Empty: only
        skills that a request contains.""",
    ).tag(config=True, variable="AGENT_KERNEL_SKILLS")
    kernel_lease = Float(
        60.0,
        min=1.0,
        help="""Seconds that a notebook's container survives after its kernel died.""",
    ).tag(config=True)
    server_lease = Float(
        1200.0,
        min=1.0,
        help="""Seconds that a server's container survives after the server died.""",
    ).tag(config=True)
    background_restart = Choice(
        "resume",
        help="""What a server does with background turns of a dead server: `resume` them, including a
        command that still runs, or `end` all of them as incomplete.""",
    ).tag(config=True, variable="AGENT_KERNEL_BACKGROUND_RESTART", words=("resume", "end"))
    retention_days = Float(
        0.0,
        min=0.0,
        help="""Days after which a server deletes stored responses that no later turn continues. 0: never.""",
    ).tag(config=True, variable="AGENT_KERNEL_RETENTION_DAYS")

    max_sessions = Int(
        500, min=0, help="""Sessions that each key may keep; see docs/guide/keeping.md."""
    ).tag(config=True)

    def data_path(self) -> Path:
        """Return the data folder, which may not exist yet."""
        if self.data_dir:
            return Path(self.data_dir).expanduser().absolute()
        from jupyter_core.paths import jupyter_data_dir

        return Path(jupyter_data_dir()) / "agent-kernel"


class ContainerSettings(Configurable):
    """The lifetime of containers, their checkpoints and the audit log; see docs/containers.md."""

    pause_after = Float(
        60.0,
        min=0.0,
        help="""Seconds without any operation after which a container is paused; the next command wakes it.
        0: never.""",
    ).tag(config=True, variable="AGENT_KERNEL_PAUSE_AFTER")
    keep_expired = Bool(
        True,
        help="""Keep a checkpoint of each container that expires; its next use restores it.""",
    ).tag(config=True, variable="AGENT_KERNEL_KEEP_EXPIRED")
    checkpoint_size = Int(
        10 << 30,
        min=0,
        help="""Bytes of these and of automatic snapshots together. Over it, the oldest are removed first.""",
    ).tag(config=True)
    checkpoint_days = Float(
        7.0, min=0.0, help="""Days after which these checkpoints and automatic snapshots are removed."""
    ).tag(config=True)
    kept_size = Int(
        20 << 30,
        min=0,
        help="""Bytes of the checkpoints and automatic snapshots of containers of kept sessions together. They
        count here only. Over it, the oldest are removed first.""",
    ).tag(config=True, variable="AGENT_KERNEL_KEPT_SIZE")
    kept_days = Float(
        90.0,
        min=0.0,
        help="""Days after which the checkpoints and automatic snapshots of containers of kept sessions are
        removed. The sessions themselves stay.""",
    ).tag(config=True, variable="AGENT_KERNEL_KEPT_DAYS")
    warm = Int(
        0,
        min=0,
        max=100,
        help="""Number of containers that a server keeps ready for new requests. A kernel keeps none.""",
    ).tag(config=True, variable="AGENT_KERNEL_WARM")
    cpus = Float(
        0.0,
        min=0.0,
        help="""The most processors that one container may use, such as 1.5. 0: all of the machine's. A
        request can ask for less, never for more.""",
    ).tag(config=True, variable="AGENT_KERNEL_CPUS")
    pids = Int(
        0,
        min=0,
        help="""The most processes and threads in one container. 0: 512 if the sandbox can limit
        them. A request can ask for less, never for more.""",
    ).tag(config=True, variable="AGENT_KERNEL_PIDS")
    open_files = Int(
        0,
        min=0,
        help="""The most files that one process may have open. 0: 4096. A request can ask
        for less, never for more.""",
    ).tag(config=True, variable="AGENT_KERNEL_OPEN_FILES")
    disk = Int(
        0,
        min=0,
        help="""Bytes by which a container's file system may grow. 0: no limit. Needs Docker on a storage
        driver with quotas. A request can ask for less, never for more.""",
    ).tag(config=True, variable="AGENT_KERNEL_DISK")
    volumes = Bool(
        False,
        help="""Let requests name a volume as a container's workspace. Volumes stay until the operator removes
        them, and do not count towards a key's bytes.""",
    ).tag(config=True, variable="AGENT_KERNEL_VOLUMES")
    mounts = Unicode(
        "",
        help="""Folders of this machine that containers may read below /mnt, as `NAME=/folder`, separated by
        colons. Requests and `%mount` choose from them by name. Empty: none.""",
    ).tag(config=True, variable="AGENT_KERNEL_MOUNTS")
    network = Unicode(
        "",
        help="""Hosts that containers may connect to, separated by commas: `NAME`, `*.NAME`, each also with
        `:PORT`, `GET NAME` for a host that may only be read, `tcp://HOST:PORT` for a private service, and
        presets such as `pip`, which stand for the hosts that the tool is configured for. Requests and
        `%network` choose from them. Empty: no container has a network.""",
    ).tag(config=True, variable="AGENT_KERNEL_NETWORK")
    network_connections = Int(
        100, min=1, help="""Connections out of one container that may be open at the same time."""
    ).tag(config=True)
    network_per_minute = Int(
        1200,
        min=1,
        help="""Connections that one container may begin in any 60 seconds, refused ones included.""",
    ).tag(config=True)
    network_bytes_out = Int(
        10 << 30,
        min=0,
        help="""Bytes that the programs in one container may send out of it. 0: no limit.""",
    ).tag(config=True)
    network_bytes_in = Int(
        50 << 30,
        min=0,
        help="""Bytes that the programs in one container may receive from outside. 0: no limit.""",
    ).tag(config=True)
    upload_limit = Int(
        512 << 20,
        min=0,
        help="""Bytes: the largest file that a client can upload. `KernelSettings.max_upload` is the limit
        of `%upload`.""",
    ).tag(config=True, variable="AGENT_KERNEL_UPLOAD_LIMIT")
    audit = Unicode(
        "",
        help="""File of the audit log. Empty: `audit.jsonl` in the data folder. `off`: no audit log.""",
    ).tag(config=True, variable="AGENT_KERNEL_AUDIT")


class ApprovalSettings(Configurable):
    """The commands that run, need approval, or never run; see docs/approvals.md."""

    approval = Choice(
        "auto",
        help="""What happens to a command that no rule matches: `auto` runs it, `ask` asks first, `never`
        denies it. Notebooks and requests can be stricter, never looser.""",
    ).tag(config=True, variable="AGENT_KERNEL_APPROVAL", words=tuple(MODES))
    approval_rules = Unicode(
        "",
        help="""TOML file with rules for commands, in order. Empty: no rules.""",
    ).tag(config=True, variable="AGENT_KERNEL_APPROVAL_RULES")

    after_outside = Choice(
        "auto",
        help="""What happens to a call with effects in a conversation that has read text from outside: `auto`
        as to any other, `ask` asks first, `never` denies it. Notebooks and requests can be stricter.""",
    ).tag(config=True, variable="AGENT_KERNEL_AFTER_OUTSIDE", words=tuple(MODES))

    def policy(self) -> Policy:
        """All together. Raises `ConfigurationError` for a file that cannot be used: no rule is skipped."""
        path = Path(self.approval_rules).expanduser()
        try:
            read = tomllib.loads(path.read_text("utf-8")) if self.approval_rules else {}
            if "default" in read:
                raise ValueError("set AGENT_KERNEL_APPROVAL instead of approval.default")
            asked = (MODES[self.after_outside], read_policy(read).after_outside)
            outside = max(asked, key=STRICTNESS.__getitem__)
            return read_policy({**read, "default": self.approval, "after_outside": outside})
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(
                f"The approval rules in {path} cannot be used: {str(why).rstrip('.')}.",
                hint="docs/approvals.md shows how they are written.",
            ) from None


class ServerSettings(Configurable):
    """The address, limits and log of `agent-kernel serve`."""

    host = Unicode("127.0.0.1", help="""Address to listen on; anything but loopback needs a key.""").tag(
        config=True
    )
    port = Int(
        8642, min=0, max=65535, help="""Port to listen on; 0 chooses a free port and prints it."""
    ).tag(config=True)
    turns_per_key = Int(0, min=0, help="""Turns that each key may run at the same time. 0: no limit.""").tag(
        config=True
    )
    containers_per_key = Int(
        0, min=0, help="""Containers that each key may have alive at the same time. 0: no limit."""
    ).tag(config=True)
    bytes_per_key = Int(
        0,
        min=0,
        help="""Bytes of files that each key may store; its expired containers may use the same amount
        again. 0: no limit.""",
    ).tag(config=True)
    requests_per_minute = Int(
        0, min=0, help="""Requests that each key may send per minute. 0: no limit."""
    ).tag(config=True)
    max_connections = Int(
        500,
        min=1,
        help="""Maximum number of open connections; further ones get an error and can retry later.""",
    ).tag(config=True)
    webhooks = Unicode(
        "",
        help="""Addresses that are told when a background turn of any key has ended, separated by commas. They
        may hold secrets. Empty: none.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_WEBHOOKS")
    key_webhooks = Unicode(
        "",
        help="""Addresses that are told of the turns of one key only, as JSON:
        `{"KEY": {"urls": "https://...", "secret": "whsec_..."}}`. The secret signs what goes to them.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_KEY_WEBHOOKS")
    webhook_secret = Unicode(
        "",
        help="""Secret that signs messages to the addresses of all keys, `whsec_` and at least 24 bytes in
        base64.""",
    ).tag(config=True, secret=True, variable="AGENT_KERNEL_WEBHOOK_SECRET")
    webhook_hosts = Unicode(
        "",
        help="""Hosts of those addresses on loopback or a private network, as `tcp://HOST:PORT`, separated by
        commas. Public hosts need no entry.""",
    ).tag(config=True, variable="AGENT_KERNEL_WEBHOOK_HOSTS")
    workers = Int(
        1,
        min=1,
        max=8,
        help="""Processes that serve the port together, over one store; see
        [performance.md](performance.md#several-processes).""",
    ).tag(config=True)
    log = Choice(
        "text",
        help="""Format of the log that `serve` writes to stderr: `text`, or `json`, one object per line
        with the ids of response and container.""",
    ).tag(config=True, variable="AGENT_KERNEL_LOG", words=("text", "json"))
