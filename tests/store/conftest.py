"""Every kind of store, for the contract suites."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from agent_kernel.store.base import Store
from agent_kernel.store.catalogue import open_store
from agent_kernel.store.rows import Rows
from tests.conftest import Missing
from tests.store.object_storage import CREDENTIALS, ObjectStorage, serving
from tests.store.postgres import Postgres, programs, running
from tests.wheels import install

TOY = Path(__file__).parent / "toy_store"

Open = Callable[[], Store]


@pytest.fixture(scope="session")
def postgres(missing: Missing) -> Iterator[Postgres]:
    """A PostgreSQL server; it ends with the tests."""
    found = programs()
    if found is None:
        missing("There is no PostgreSQL. Install it: apt-get install postgresql")
    with running(found) as server:
        yield server


@pytest.fixture(scope="session")
def object_storage() -> Iterator[ObjectStorage]:
    """A server of buckets; it ends with the tests."""
    with serving() as server:
        yield server


@pytest.fixture
def buckets(object_storage: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    """That server, and this process's credentials for it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return object_storage


@pytest.fixture(scope="session")
def toy_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy store installed from its wheel, as any other package that adds a store."""
    return install(TOY, tmp_path_factory.mktemp("toy"))


@pytest.fixture
def toy(toy_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new toy store, which this process can open."""
    monkeypatch.syspath_prepend(toy_wheel)
    return f"toy:{uuid.uuid4().hex}"


@pytest.fixture(params=["sqlite", "postgresql", "toy"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new store of each kind."""
    if request.param == "sqlite":
        return "sqlite"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.new()
    url: str = request.getfixturevalue("toy")
    return url


@pytest.fixture
def blobs_url() -> str:
    """The URL of a bucket for the blobs; empty: they are in the store."""
    return ""


@pytest.fixture
async def opened(store_url: str, blobs_url: str, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the same store again and again, as several processes would."""
    stores: list[Store] = []

    def opened() -> Store:
        stores.append(open_store(store_url, tmp_path / "data", blobs_url))
        return stores[-1]

    yield opened
    for store in stores:
        await store.aclose()


@pytest.fixture
def rows(opened: Open) -> Rows:
    """The rows of a new store."""
    return opened().rows
