"""Colours for code and commands, in the escape sequences that programs use."""
