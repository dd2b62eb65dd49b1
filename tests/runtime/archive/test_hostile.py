"""Archives that are damaged, or made to do harm: each is refused as a whole, in words."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.runtime.archive.errors import ArchiveInvalid
from agent_kernel.runtime.archive.manifest import TreeLimits
from agent_kernel.runtime.archive.reading import opened_archive
from agent_kernel.runtime.archive.tree import check_tree
from tests.runtime.archive import made
from tests.runtime.archive.made import (
    GOOD,
    SESSION,
    TURN,
    WHOLE,
    archive,
    digest,
    elsewhere,
    file,
    folder,
    link,
    manifest,
    members,
    outer,
    tree,
    written,
)

DATA = folder("data")
LONG = "d/" * 600

TREES = {
    "an absolute path": (tree(folder("/data")), "leads outside"),
    "a path to another folder": (tree(folder("etc")), "leads outside"),
    "a path up": (tree(DATA, file("data/../../etc/passwd")), "leads outside"),
    "a dot": (tree(DATA, file("data/./x")), "leads outside"),
    "an empty name": (tree(DATA, file("data//x")), "leads outside"),
    "a link up": (tree(DATA, link("data/x", "../../etc")), "leads outside"),
    "an absolute link": (tree(DATA, link("data/x", "/etc/passwd")), "leads outside"),
    "a link past its folder": (tree(DATA, link("data/x", "/mnt/database")), "leads outside"),
    "a link to nothing": (tree(DATA, link("data/x", "")), "leads outside"),
    "a file through a link": (tree(DATA, link("data/x", "."), file("data/x/y")), "not in a folder"),
    "a file without its folder": (tree(DATA, file("data/x/y")), "not in a folder"),
    "a file in place of a root": (tree(file("data")), "not in a folder"),
    "a hard link outside": (tree(DATA, link("data/x", "/etc/passwd", tarfile.LNKTYPE)), "no file before it"),
    "a hard link to a link": (
        tree(DATA, link("data/l", "x"), link("data/x", "data/l", tarfile.LNKTYPE)),
        "no file before it",
    ),
    "a name twice": (tree(DATA, file("data/x"), file("data/x")), "twice"),
    "a link and a file of one name": (tree(DATA, link("data/x", "y"), file("data/x")), "twice"),
    "a device": (tree(DATA, file("data/x", b"", type=tarfile.CHRTYPE)), "type"),
    "a pipe": (tree(DATA, file("data/x", b"", type=tarfile.FIFOTYPE)), "type"),
    "a sparse file of GNU tar": (tree(DATA, file("data/x", type=tarfile.GNUTYPE_SPARSE)), "type"),
    "a long name": (tree(DATA, file("data/" + "x" * 256)), "too long"),
    "a deep path": (tree(DATA, folder("data/" + LONG)), "too long"),
    "an unknown extension": (tree(DATA, file("data/x", pax_headers={"GNU.sparse.name": "y"})), "unknown"),
    "a long extension": (tree(DATA, file("data/x", pax_headers={"uname": "x" * 40000})), "too long"),
    "a path of its own in the extension": (
        tree(DATA, file("data/x", pax_headers={"path": "../y"})),
        "leads outside",
    ),
    "no end": (gzip.compress(gzip.decompress(WHOLE)[:2048]), "cut short"),
    "something after the end": (gzip.compress(gzip.decompress(WHOLE) + b"x" * 512), "after its end"),
    "a compressed end": (WHOLE[:-20], "cut short"),
    "a content that is elsewhere": (tree(DATA, elsewhere("data/x", b"x")), "not where it belongs"),
    "a folder with a content": (
        tree(
            (DATA[0], b""),
            file("data/x", b"", type=tarfile.DIRTYPE, pax_headers={"AGENT_KERNEL.content": digest(b"x")}),
        ),
        "has content",
    ),
    "other bytes": (b"no gzip at all", "damaged"),
    "a damaged header": (gzip.compress(b"x" * 1024), "an invalid number"),
}


@pytest.mark.parametrize("case", TREES)
def test_trees_that_lead_elsewhere_are_refused(case: str) -> None:
    content, why = TREES[case]
    with pytest.raises(ArchiveInvalid, match=why):
        check_tree(io.BytesIO(content))


def test_a_good_tree_is_read() -> None:
    assert check_tree(io.BytesIO(WHOLE)).files == 1


def test_bombs_are_given_up_early() -> None:
    limits = TreeLimits(entries=5, size=1 << 20, length=4 << 20)
    big = tree(DATA, file("data/x", bytes(2 << 20)))
    hole = tree(DATA, file("data/x", bytes(2 << 20), pax_headers={"AGENT_KERNEL.sparse": "1"}))
    deep = tree(DATA, file("data/x", bytes(5 << 20), pax_headers={"AGENT_KERNEL.sparse": "1"}))
    many = tree(DATA, *(file(f"data/{n}") for n in range(5)))
    for content, why in ((big, "bytes"), (deep, "too large"), (many, "more than 5 files")):
        with pytest.raises(ArchiveInvalid, match=why):
            check_tree(io.BytesIO(content), limits)
    assert check_tree(io.BytesIO(hole), limits).size == 0
    claimed = tarfile.TarInfo("data/x")
    claimed.size = 1 << 50
    lying = gzip.compress(DATA[0].tobuf() + claimed.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    with pytest.raises(ArchiveInvalid, match="too large"):
        check_tree(io.BytesIO(lying), limits)


def turn(**changes: Any) -> dict[str, Any]:
    return {**TURN, **changes}


SECOND = turn(id="resp_2", previous_id="resp_1", response={"id": "resp_2", "output": []})
GOOD_MEMBERS = members()
LISTED = b'{"snapshots": ["snap_1"]}'
SHORT = (made.content(b"x")[0][:12], made.content(b"x", packed=12)[1])
ARCHIVES = {
    "other bytes": (b"x" * 2000, "not a session archive"),
    "nothing": (b"", "not a session archive"),
    "a later version": (archive(version=2), "version 2 of the format, and this agent-kernel knows 1"),
    "no version": (archive(version="1"), "version is not a number"),
    "another format": (archive(format="zip"), "not a session archive"),
    "a member too many": (archive({**GOOD_MEMBERS, "extra": b""}), "not those of a session"),
    "a path as a member": (archive({**GOOD_MEMBERS, "../x": b""}), "not those of a session"),
    "a member too few": (archive({"session.json": b"{}"}), "not those of a session"),
    "a member that the manifest lacks": (
        outer(file("manifest.json", manifest(members(None))), *map(file, members(), members().values())),
        "does not belong",
    ),
    "another order": (
        outer(
            file("manifest.json", manifest(members(None))),
            file("responses.jsonl", members()["responses.jsonl"]),
            file("session.json", members()["session.json"]),
        ),
        "not those of its manifest",
    ),
    "a wrong checksum": (
        outer(
            file("manifest.json", manifest(members(None))),
            *map(file, members(None), members(None).values()),
            checksum=b"0" * 64,
        ),
        "checksum is wrong",
    ),
    "a manifest that is not JSON": (outer(file("manifest.json", b"[" * 100_000)), "not usable JSON"),
    "deep JSON": (archive(members(state=json.loads("[" * 200 + "]" * 200))), "not usable JSON"),
    "a state that is too large": (archive(members(state={"x": "y" * (1 << 20)})), "state of its session"),
    "a damaged state": (archive(members(state=[])), "session is damaged"),
    "an invalid id": (archive(members(id="../../x")), "invalid id"),
    "a name with control characters": (archive(members(name="a\x1b[2J")), "invalid name"),
    "a missing turn": (archive(members(response_id="resp_2")), "lacks turns"),
    "turns out of order": (
        archive(members(turns=[SECOND, TURN])),
        "not in order",
    ),
    "a turn twice": (archive(members(turns=[TURN, TURN])), "not in order"),
    "invalid items": (archive(members(turns=[turn(input=["x"])])), "invalid items"),
    "a running turn": (archive(members(turns=[turn(status="in_progress")])), "one of its turns is damaged"),
    "an invalid time": (archive(members(turns=[turn(created_at=-1)])), "invalid time"),
    "files without a container": (
        archive({name: data for name, data in GOOD_MEMBERS.items() if name != "container.json"}),
        "files without a container",
    ),
    "files that lead outside": (archive(members(tree(folder("etc")))), "leads outside"),
    "a snapshot without files": (archive({**GOOD_MEMBERS, "snapshots.json": LISTED}), "snapshots"),
    "files of no snapshot": (archive({**GOOD_MEMBERS, "snapshot-00.tar.gz": GOOD}), "snapshots"),
    "a snapshot that leads outside": (
        archive({**GOOD_MEMBERS, "snapshots.json": LISTED, "snapshot-00.tar.gz": tree(folder("etc"))}),
        "leads outside",
    ),
    "a file without its content": (archive(members(contents=[])), "not where it belongs"),
    "a file with a content of its own": (archive(members(WHOLE)), "not where it belongs"),
    "a content that is another": (
        archive(members(contents=[made.content(b"y", sha256=digest(b"x"))])), "not what its name says",
    ),
    "a content that is longer": (archive(members(contents=[made.content(b"xy", size=1)])), "not what"),
    "a content twice": (archive(members(contents=[made.content(b"x")] * 2)), "index of"),
    "a content of nothing": (archive(members(contents=[made.content(b"x"), made.content(b"")])), "index of"),
    "a content past the end": (archive(members(contents=[made.content(b"x", packed=1000)])), "index of"),
    "contents past the index": (
        archive(members(contents=[made.content(b"x"), (made.content(b"y")[0], b"")])), "index of",
    ),
    "a content that is cut short": (archive(members(contents=[SHORT])), "cut short"),
    "an index of something else": (archive(members(contents=[(b"", b'{"sha256": 1}\n')])), "index of"),
    "a line without an end": (archive(members(contents=[(b"", b"{}")])), "too long"),
    "contents without an index": (
        archive({name: data for name, data in GOOD_MEMBERS.items() if name != "contents.jsonl"}),
        "without their contents",
    ),
    "a damaged list of snapshots": (
        archive({**GOOD_MEMBERS, "snapshots.json": b'{"snapshots": 1}'}), "list of",
    ),
    "a damaged shell": (archive({**GOOD_MEMBERS, "shell.json": b"[]"}), "shell.json is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", ARCHIVES)
def test_invalid_archives_are_refused(case: str, tmp_path: Path) -> None:
    content, why = ARCHIVES[case]
    with pytest.raises(ArchiveInvalid, match=why), opened_archive(written(tmp_path / "a", content)):
        pytest.fail("it was opened")


def test_a_good_archive_is_read(tmp_path: Path) -> None:
    with opened_archive(written(tmp_path / "a", archive())) as found:
        assert found.session.id == SESSION["id"]
        assert [each.id for each in found.turns()] == ["resp_1"]


def test_contents_that_are_too_large_are_given_up_early(tmp_path: Path) -> None:
    limits = TreeLimits(entries=3, size=1 << 20, length=4 << 20)
    hole = bytes(2 << 20)
    for contents in ([b"x" * (2 << 20)], [hole, hole + b"\0"], [b"a", b"b", b"c", b"x"]):
        packed = archive(members(contents=[made.content(each) for each in contents]))
        with (
            pytest.raises(ArchiveInvalid, match="more than"),
            opened_archive(written(tmp_path / "a", packed), limits),
        ):
            pytest.fail("it was opened")


def test_every_changed_byte_and_every_cut_is_noticed(tmp_path: Path) -> None:
    good = archive()
    for position in range(0, len(good) - 1024, 37):
        changed = bytearray(good)
        changed[position] ^= 1
        with pytest.raises(ArchiveInvalid), opened_archive(written(tmp_path / "a", bytes(changed))):
            pytest.fail(f"byte {position} was changed")
    for length in range(0, len(good) - 512, 509):
        with pytest.raises(ArchiveInvalid), opened_archive(written(tmp_path / "a", good[:length])):
            pytest.fail(f"it was cut at {length}")
