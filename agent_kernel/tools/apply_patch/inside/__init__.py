"""The program that applies a patch. It runs inside the sandbox and needs only Python's standard library."""
