"""Presets of network policies: the hosts of one tool, read from its configuration on this machine."""
