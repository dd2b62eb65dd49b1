"""The files of a container as a tree with sizes, bounded. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent_kernel.kernel.render.text import clean, size

MAX_LINES = 200
PER_FOLDER = 40


@dataclass
class _Folder:
    folders: dict[str, _Folder] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.files) + sum(folder.count for folder in self.folders.values())

    @property
    def bytes(self) -> int:
        return sum(self.files.values()) + sum(folder.bytes for folder in self.folders.values())


def tree(root: str, sizes: Mapping[str, int], *, complete: bool = True) -> str:
    """Return lines of a tree for these files (bytes by path, relative to `root`); folders first, then files.

    At most `MAX_LINES` lines and `PER_FOLDER` entries of a folder; entries left out are counted.
    """
    top = _Folder()
    for path, count in sizes.items():
        *parents, name = path.split("/")
        folder = top
        for parent in parents:
            folder = folder.folders.setdefault(parent, _Folder())
        folder.files[name] = count
    lines = [(root, _sum(top))]
    _add(top, "", lines)
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], ("… more; name a folder: %files FOLDER", "")]
    if not complete:
        lines.append(("… the newest files only", ""))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {count}".rstrip() for name, count in lines)


def _sum(folder: _Folder) -> str:
    return f"{folder.count:,} file{'' if folder.count == 1 else 's'}, {size(folder.bytes)}"


def _add(folder: _Folder, indent: str, lines: list[tuple[str, str]]) -> None:
    entries: list[tuple[str, str, _Folder | None]] = [
        (f"{clean(name)}/", _sum(inner), inner) for name, inner in sorted(folder.folders.items())
    ]
    entries += [(clean(name), size(count), None) for name, count in sorted(folder.files.items())]
    shown = entries[:PER_FOLDER] if len(entries) > PER_FOLDER + 1 else entries
    if len(shown) < len(entries):
        shown = [*shown, (f"… and {len(entries) - len(shown):,} more", "", None)]
    for number, (name, count, inner) in enumerate(shown):
        last = number == len(shown) - 1
        lines.append((f"{indent}{'└── ' if last else '├── '}{name}".replace("\n", " "), count))
        if inner is not None and len(lines) <= MAX_LINES:
            _add(inner, indent + ("    " if last else "│   "), lines)
