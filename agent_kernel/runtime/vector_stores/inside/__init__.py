"""Runs in sandboxes, on Python 3.8 and newer: reads the text of files that need a program to read."""
