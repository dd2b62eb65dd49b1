"""Checkpoints as layers: a sandbox's folders as an overlay whose changes are kept layer by layer."""
