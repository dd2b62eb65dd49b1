"""agent-kernel: notebook cells as agent turns, and the self-hosted Responses runtime underneath.

Importing the package loads none of its modules.
"""

__version__ = "0.1.0"
