"""agent-kernel: notebook cells as agent turns, and the self-hosted Responses runtime underneath.

This package is a catalogue: importing it loads nothing else.
"""

__version__ = "0.1.0"
