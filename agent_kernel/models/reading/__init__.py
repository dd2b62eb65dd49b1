"""Answers of upstream models, as deltas: what servers of both dialects send, well and badly."""
