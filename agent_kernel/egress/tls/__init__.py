"""Reading the TLS of hosts with a secret: the placeholder goes in, the value goes out, and never back.

Needs the extra `egress` (h2 and cryptography).
"""
