"""Notebook outputs for the files that a turn wrote."""
