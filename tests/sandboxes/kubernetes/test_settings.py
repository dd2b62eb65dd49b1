"""The backend's settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.errors import ConfigurationError
from agent_kernel.sandboxes import catalogue
from agent_kernel.sandboxes.catalogue import BackendOptions
from agent_kernel.sandboxes.kubernetes.settings import KubernetesSettings, read_settings


def written(folder: Path, text: str) -> Path:
    path = folder / "kubernetes.yaml"
    path.write_text(text)
    return path


def test_no_file_means_the_defaults() -> None:
    assert read_settings(None) == KubernetesSettings()


def test_settings_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "namespace: agents\nclaims: false\nnode_selector: {disk: ssd}\ngpus: 1\n")
    expected = KubernetesSettings(namespace="agents", claims=False, node_selector={"disk": "ssd"}, gpus=1)
    assert read_settings(path) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("namespaces: a", "unknown setting, namespaces"),
        ("claims: maybe", "claims in .* is not true or false"),
        ("gpus: true", "gpus in .* is not a whole number"),
        ("- a", "no YAML mapping"),
        ("a: [", "cannot be read"),
        ("user: 0", "do not run as root"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_settings(written(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml cannot be read: No such file"):
        read_settings(tmp_path / "nowhere.yaml")


def test_image_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="need an image"):
        catalogue.make("kubernetes", BackendOptions(tmp_path))
