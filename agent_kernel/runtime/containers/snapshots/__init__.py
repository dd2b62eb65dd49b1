"""Snapshots of containers: taken, restored under the same id, and forked."""
