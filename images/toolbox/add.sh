#!/bin/sh
# The toolbox on top of an image that is based on Debian or Ubuntu: runs as root inside it, once.
set -eu
cd "$(dirname "$0")"

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "the image has no apt: the toolbox can be put on Debian and Ubuntu only" >&2
    exit 1
fi

missing=
while read -r package; do
    # What the last step needs for itself, and takes away again, is not missed where that step was taken.
    if [ "$package" = tcc ] && [ -e /usr/lib/agent-kernel/statx.so ]; then continue; fi
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done <packages.txt

if [ -z "$missing" ]; then
    echo "The toolbox is there already."
    exit 0
fi
apt-get update
# shellcheck disable=SC2086 # they are words
apt-get install --yes --no-install-recommends $missing
rm -rf /var/lib/apt/lists/* /var/cache/apt/*

cp -a /etc/apt /tmp/apt # the image's own sources: the last step removes those of the toolbox image
sh ./finish.sh
rm -rf /etc/apt
mv /tmp/apt /etc/apt
