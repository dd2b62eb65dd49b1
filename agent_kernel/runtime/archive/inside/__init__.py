"""Programs that run in a sandbox: the standard library of Python 3.8 is all that they need."""
