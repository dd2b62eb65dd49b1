"""Programs that run inside containers for the kernel: standard library only, Python 3.8 and newer."""
