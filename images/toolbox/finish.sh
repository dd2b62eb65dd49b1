#!/bin/sh
# The last step of both builds (Dockerfile, and Debian packages alone): runs as root inside the new root.
set -eu

# The workspace.
mkdir -p /mnt/data

# No sandbox has a network, and the build's package sources may be private to the machine that built it.
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap

# The container belongs to one notebook, so pip may install beside Debian's packages.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED

# Charts may have Chinese, Japanese and Korean labels.
if [ -e /etc/matplotlibrc ]; then
    sed -i 's/^#\?font\.family:.*/font.family: DejaVu Sans, Droid Sans Fallback/' /etc/matplotlibrc
fi

# Matplotlib scans all fonts on its first import; done here, no sandbox has to wait for it.
HOME=/root python3 -W error -c 'import matplotlib.pyplot'

# ls and stat ask for no automount (0x800), which gVisor's statx refused before 2023: boxd puts this before libc there.
mkdir -p /usr/lib/agent-kernel
tcc -shared -nostdlib -nostdinc -o /usr/lib/agent-kernel/statx.so - <<'C'
long syscall(long number, ...);
#if defined(__x86_64__)
enum { STATX = 332 };
#else
enum { STATX = 291 };
#endif
int statx(int folder, const char *path, int flags, unsigned mask, void *result) {
  return (int)syscall(STATX, folder, path, flags & ~0x800, mask, result);
}
C
dpkg --purge tcc
