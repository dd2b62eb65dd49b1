"""What the way out of a sandbox costs."""
