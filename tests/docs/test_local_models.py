"""docs/guide/local-models.md names the version that the tests run, and settings that exist."""

from __future__ import annotations

import re

from agent_kernel.models.settings import ModelSettings
from tests.conftest import CHECKOUT

PAGE = (CHECKOUT / "docs" / "guide" / "local-models.md").read_text()
LOCK = CHECKOUT / "tests" / "models" / "local" / "requirements.txt"


def test_tried_version_is_the_locked_one() -> None:
    locked = re.search(r"^xllamacpp==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert locked is not None
    assert f"xllamacpp {locked[1]}," in PAGE


def test_settings_of_the_page_exist() -> None:
    traits = ModelSettings.class_traits(config=True)
    variables = {trait.metadata.get("variable") for trait in traits.values()}
    named = set(re.findall(r"AGENT_KERNEL_\w+", PAGE))
    assert len(named) >= 3
    assert named <= variables
    assert set(re.findall(r"ModelSettings\.(\w+)", PAGE)) <= set(traits)
