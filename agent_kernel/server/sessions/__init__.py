"""Endpoints of kept sessions."""
