"""Containers: life cycle, files, checkpoints and skills."""
