"""Kept sessions of a notebook: written after each cell, and resumed by another kernel."""
