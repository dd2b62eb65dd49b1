"""Reading the TLS of some hosts: of those with a secret, and of those that a read-only rule allows.

A secret's placeholder goes in, the value goes out, and never back.

Needs the extra `egress` (h2 and cryptography).
"""
