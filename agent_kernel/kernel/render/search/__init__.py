"""Renders searches in documents."""
