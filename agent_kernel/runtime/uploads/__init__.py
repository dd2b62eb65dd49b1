"""Uploaded files and their retention."""
