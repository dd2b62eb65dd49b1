"""A Debian repository with jq, packed again from what is installed in the container's image."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKED = ("jq", "libjq1", "libonig5")

PACK = r"""
set -e
for package in jq libjq1 libonig5; do
  root=/tmp/$package
  mkdir -p "$root/DEBIAN"
  dpkg-query --status "$package" | grep -vE '^(Status|Conffiles|Config-Version| /)' > "$root/DEBIAN/control"
  dpkg-query --listfiles "$package" | while read -r file; do
    if [ -f "$file" ] || [ -L "$file" ]; then echo "${file#/}"; fi
  done | tar --create --directory / --files-from - | tar --extract --directory "$root"
  dpkg-deb --root-owner-group --build "$root" "/mnt/data/$package.deb" > /dev/null
  dpkg-deb --field "/mnt/data/$package.deb" > "/mnt/data/$package.control"
done
"""
"""Make a package of each, and write its fields beside it."""

REMOVE = "dpkg --purge --force-depends jq libjq1 libonig5 && ! command -v jq"


def describe(site: Path) -> None:
    """Write the index of a flat repository, as apt reads it."""
    entries = []
    for package in PACKED:
        content = (site / f"{package}.deb").read_bytes()
        fields = (site / f"{package}.control").read_text().strip()
        digest = hashlib.sha256(content).hexdigest()
        entries.append(f"{fields}\nFilename: ./{package}.deb\nSize: {len(content)}\nSHA256: {digest}\n")
    (site / "Packages").write_text("\n".join(entries))
