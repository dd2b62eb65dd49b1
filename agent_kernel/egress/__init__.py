"""Connections out of sandboxes: the policy, the checks, and the broker that makes allowed connections."""
