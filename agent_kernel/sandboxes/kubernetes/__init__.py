"""Sandboxes in pods of a Kubernetes cluster, one pod each."""
