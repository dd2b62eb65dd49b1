"""Sending requests to upstreams."""
