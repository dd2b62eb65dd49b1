"""Where settings come from, which source wins, and what is said of those that cannot be used."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from agent_kernel import config
from agent_kernel.cli import compose, doctor
from agent_kernel.cli.compose import container_settings
from agent_kernel.errors import ConfigurationError
from agent_kernel.policy.rules import Policy, Rule
from agent_kernel.runtime.containers.resources import Resources


def load(folder: Path, environ: dict[str, str] | None = None, **flags: object) -> config.Settings:
    return config.load(flags, environ or {}, [str(folder)])


def test_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.sandbox.sandbox == "auto"
    assert settings.model.chosen() == "scripted/demo"
    assert settings.server.host == "127.0.0.1"
    assert settings.runtime.kernel_lease == 60
    assert settings.runtime.server_lease == 1200
    assert settings.runtime.data_path().name == "agent-kernel"
    assert settings.warnings == ()


def test_environment_over_file_and_flag_over_environment(tmp_path: Path) -> None:
    (tmp_path / "jupyter_agent_kernel_config.py").write_text("c.SandboxSettings.image = 'from-file'\n")
    assert load(tmp_path).sandbox.image == "from-file"
    environ = {"AGENT_KERNEL_IMAGE": "from-environment"}
    assert load(tmp_path, environ).sandbox.image == "from-environment"
    assert load(tmp_path, environ, image="from-flag").sandbox.image == "from-flag"


def test_a_flag_that_is_not_given_leaves_the_setting_alone(tmp_path: Path) -> None:
    assert load(tmp_path, {"AGENT_KERNEL_IMAGE": "one"}, image=None).sandbox.image == "one"


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load(tmp_path, {"AGENT_KERNEL_SANDBOX": ""}).sandbox.sandbox == "auto"


def test_a_more_important_folder_wins(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "jupyter_agent_kernel_config.json").write_text(
            f'{{"SandboxSettings": {{"image": "{name}"}}}}'
        )
    settings = config.load({}, {}, [str(tmp_path / "first"), str(tmp_path / "second")])
    assert settings.sandbox.image == "first"


def test_the_kernels_own_settings_come_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "jupyter_agent_kernel_config.py").write_text("c.KernelSettings.max_upload = 7\n")
    assert load(tmp_path).kernel.max_upload == 7


def test_provenance_is_switched_off_by_the_environment(tmp_path: Path) -> None:
    assert load(tmp_path).kernel.provenance
    assert not load(tmp_path, {"AGENT_KERNEL_PROVENANCE": "false"}).kernel.provenance


def test_numbers_are_read_from_text(tmp_path: Path) -> None:
    assert load(tmp_path, port="80").server.port == 80


@pytest.mark.parametrize(
    ("environ", "flags", "words"),
    [
        (
            {"AGENT_KERNEL_SANDBOX": "dokcer"},
            {},
            ["AGENT_KERNEL_SANDBOX", "'dokcer'", "auto, docker, bubblewrap"],
        ),
        ({}, {"port": "70000"}, ["port", "65535"]),
        ({}, {"port": "http"}, ["port"]),
    ],
)
def test_a_value_that_cannot_be_used(
    environ: dict[str, str], flags: dict[str, object], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, environ, **flags)
    assert all(word in caught.value.message for word in words)
    assert caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "jupyter_agent_kernel_config.py").write_text("c.SandboxSettings.image = \n")
    with pytest.raises(
        ConfigurationError, match=r"jupyter_agent_kernel_config\.py cannot be read: SyntaxError"
    ):
        load(tmp_path)


def test_an_unknown_variable_is_named_with_the_nearest(tmp_path: Path) -> None:
    settings = load(tmp_path, {"AGENT_KERNEL_SANBOX": "docker", "AGENT_KERNEL_REQUIRE_ALL": "1"})
    assert len(settings.warnings) == 1
    assert "AGENT_KERNEL_SANBOX" in settings.warnings[0]
    assert "AGENT_KERNEL_SANDBOX" in settings.warnings[0]


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_BASE_URL", "AGENT_KERNEL_UPSTREAM_KEY"])
def test_with_an_upstream_no_model_is_guessed(name: str, tmp_path: Path) -> None:
    assert load(tmp_path, {name: "x"}).model.chosen() is None
    assert load(tmp_path, {name: "x", "AGENT_KERNEL_MODEL": "openai/m"}).model.chosen() == "openai/m"


def test_our_variable_wins_over_the_providers(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "theirs", "AGENT_KERNEL_UPSTREAM_KEY": "ours"}
    assert load(tmp_path, environ).model.upstream_key == "ours"


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    settings = load(tmp_path, {"AGENT_KERNEL_UPSTREAM_KEY": "s3cret", "AGENT_KERNEL_API_KEY": "s3cret"})
    shown = [settings, settings.model, settings.runtime, *config.catalogue()]
    assert "s3cret" not in repr(shown) + str(shown)


def test_values_of_secrets_are_known_one_by_one(tmp_path: Path) -> None:
    """They must not get into a cassette."""
    upstreams = '{"lab": {"url": "http://me:four@127.0.0.1/v1", "key": "three", "dialect": "chat"}}'
    environ = {
        "AGENT_KERNEL_UPSTREAM_KEY": "one",
        "AGENT_KERNEL_API_KEY": "two",
        "AGENT_KERNEL_UPSTREAMS": upstreams,
        "AGENT_KERNEL_STORE": "postgresql://me:five@127.0.0.1/store",
    }
    assert load(tmp_path, environ).secrets() == {"one", "two", "three", "four", "five"}
    assert load(tmp_path).secrets() == frozenset()


def test_texts_come_from_the_environment_as_json(tmp_path: Path) -> None:
    assert load(tmp_path, {"AGENT_KERNEL_RECORD_REDACT": r'["a\\d+"]'}).kernel.record_redact == (r"a\d+",)
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_DRIFT_IGNORE must be a list of texts"):
        load(tmp_path, {"AGENT_KERNEL_DRIFT_IGNORE": "*seconds*"})


def test_a_child_gets_our_environment_but_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    monkeypatch.setenv("AGENT_KERNEL_MODEL", "openai/m")
    monkeypatch.setenv("SOMETHING_ELSE", "kept")
    child = config.environment_with(AGENT_KERNEL_SANDBOX="bubblewrap")
    assert child["AGENT_KERNEL_SANDBOX"] == "bubblewrap"
    assert child["SOMETHING_ELSE"] == "kept"
    assert "OPENAI_API_KEY" not in child
    assert "AGENT_KERNEL_MODEL" not in child


def test_every_setting_stands_in_the_documentation() -> None:
    text = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    for setting in config.catalogue():
        assert f"`{setting.group}.{setting.name}`" in text
        if setting.variable:
            assert f"`{setting.variable}`" in text


def test_prices_come_from_the_environment(tmp_path: Path) -> None:
    given = load(tmp_path, {"AGENT_KERNEL_PRICES": '{"m": [0.5, 2]}'}).kernel.prices
    assert given == {"m": [0.5, 2.0]}


@pytest.mark.parametrize("wrong", ["cheap", '{"m": 1}', '{"m": [1, "2"]}', "[1, 2]"])
def test_prices_that_cannot_be_read_are_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="A setting cannot be used"):
        load(tmp_path, {"AGENT_KERNEL_PRICES": wrong})


UPSTREAM = '{"fast": {"url": "http://127.0.0.1:1/v1", "key": "s3cret", "dialect": "chat"}}'


def test_more_upstreams_come_as_json(tmp_path: Path) -> None:
    settings = load(tmp_path, {"AGENT_KERNEL_UPSTREAMS": UPSTREAM}).model
    entry = {"url": "http://127.0.0.1:1/v1", "key": "s3cret", "dialect": "chat"}
    assert settings.upstreams == {"fast": entry}
    assert settings.chosen() is None, "a model there has to be named"


def test_more_upstreams_come_from_a_file(tmp_path: Path) -> None:
    entry = {"url": "http://127.0.0.1:1/v1", "context_window": 8192}
    (tmp_path / "jupyter_agent_kernel_config.py").write_text(
        f"c.ModelSettings.upstreams = {{'ollama': {entry}}}"
    )
    assert load(tmp_path).model.upstreams == {"ollama": {**entry, "key": None, "dialect": "chat"}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{s3cret", "an object in JSON"),
        ('["s3cret"]', "an object in JSON"),
        ('{"fast": "s3cret"}', "'fast' must be an object"),
        ('{"fast": {"key": "s3cret"}}', "needs a url"),
        ('{"fast": {"url": "http://h", "key": "s3cret"}}', "openai, responses, chat"),
        (
            '{"fast": {"url": "http://h", "secret": "s3cret"}}',
            "'secret'; there are url, key, dialect, shell",
        ),
        ('{"fast": {"url": "http://h", "dialect": "chat", "key": 1}}', "must be strings"),
        ('{"fast": {"url": "http://h", "dialect": "chat", "context_window": "8k"}}', "a number of tokens"),
        ('{"fast": {"url": "http://h", "dialect": "chat", "context_window": true}}', "a number of tokens"),
        ('{"fast": {"url": "http://h", "dialect": "chat", "context_window": 0}}', "a number of tokens"),
        ('{"scripted": {"url": "http://h", "key": "s3cret"}}', "'scripted' cannot be a prefix"),
    ],
)
def test_an_upstream_that_cannot_be_used_is_named_without_its_key(
    value: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        load(tmp_path, {"AGENT_KERNEL_UPSTREAMS": value})
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_approvals_run_everything_unless_something_is_set(tmp_path: Path) -> None:
    assert load(tmp_path).approval.policy() == Policy()
    assert load(tmp_path, {"AGENT_KERNEL_APPROVAL": "ask"}).approval.policy() == Policy("ask")
    assert load(tmp_path, {"AGENT_KERNEL_APPROVAL": "never"}).approval.policy() == Policy("deny")
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_APPROVAL is 'always'"):
        load(tmp_path, {"AGENT_KERNEL_APPROVAL": "always"})


def test_the_rules_of_approvals_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rules]]\naction = "deny"\ncommand = "rm *"\nreason = "No."\n')
    settings = load(tmp_path, {"AGENT_KERNEL_APPROVAL_RULES": str(file)})
    assert settings.approval.policy() == Policy("allow", (Rule("deny", "rm *", reason="No."),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("[[rules", "rules.toml cannot be used"),
        ("rules = 7", "approval.rules must be a list"),
        ('[[rules]]\ncommand = "rm *"', r"approval.rules\[0\].action"),
        ('default = "ask"', "AGENT_KERNEL_APPROVAL"),
        ("rule = []", "no field 'rule'"),
        (b"\xff", "rules.toml cannot be used"),
    ],
)
def test_rules_of_approvals_that_cannot_be_used_are_never_skipped(
    text: str | bytes | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "rules.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    settings = load(tmp_path, {"AGENT_KERNEL_APPROVAL_RULES": str(file)})
    with pytest.raises(ConfigurationError, match=words) as caught:
        settings.approval.policy()
    assert "docs/approvals.md" in str(caught.value)


def test_upload_limits_are_separate(tmp_path: Path) -> None:
    (tmp_path / "jupyter_agent_kernel_config.py").write_text("c.KernelSettings.max_upload = 7\n")
    settings = load(tmp_path, {"AGENT_KERNEL_UPLOAD_LIMIT": "5"})
    assert (settings.kernel.max_upload, settings.container.upload_limit) == (7, 5)
    assert container_settings(settings, lease=1.0).upload_limit == 5


def test_limits_and_mounts_reach_the_containers(tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "sales"
    folder.mkdir()
    environ = {
        "AGENT_KERNEL_CPUS": "1.5", "AGENT_KERNEL_PIDS": "100", "AGENT_KERNEL_OPEN_FILES": "200",
        "AGENT_KERNEL_DISK": "300000000", "AGENT_KERNEL_VOLUMES": "true",
        "AGENT_KERNEL_MOUNTS": f"maps={folder}:{folder}", "AGENT_KERNEL_DATA_DIR": str(tmp_path / "data"),
    }  # fmt: skip
    found = compose.allowed(load(tmp_path, environ))
    assert found.bounds == Resources(cpus=1.5, pids=100, open_files=200, disk=300_000_000)
    assert found.volumes
    assert {name: mount.target for name, mount in found.mounts.items()} == {
        "maps": "/mnt/maps",
        "sales": "/mnt/sales",
    }
    assert compose.allowed(load(tmp_path)).bounds == Resources()


@pytest.mark.parametrize("mounts", ["x=/etc", "x={data}", "data={folder}", "x={folder}/absent", "x=here"])
def test_mounts_that_expose_too_much_stop_the_start(tmp_path: Path, mounts: str) -> None:
    folder, data = tmp_path.resolve() / "sales", tmp_path.resolve() / "data"
    folder.mkdir()
    data.mkdir()
    text = mounts.format(folder=folder, data=data)
    settings = load(tmp_path, {"AGENT_KERNEL_MOUNTS": text, "AGENT_KERNEL_DATA_DIR": str(data)})
    with pytest.raises(ConfigurationError, match="AGENT_KERNEL_MOUNTS"):
        compose.allowed(settings)
    assert [each.ok for each in doctor._mounts(settings)] == [False]
