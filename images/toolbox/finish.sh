#!/bin/sh
# The last step of both builds (Dockerfile, and Debian packages alone): runs as root inside the new root.
set -eu

# The workspace is a volume, and boxd is put into /opt/agent-kernel before a container starts.
mkdir -p /mnt/data /opt/agent-kernel

# No sandbox has a network, and the build's package sources may be private to the machine that built it.
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap

# Matplotlib scans all fonts on its first import; done here, no sandbox has to wait for it.
HOME=/root python3 -W error -c 'import matplotlib.pyplot'
