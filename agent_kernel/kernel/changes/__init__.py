"""What changed in the container: asked, checked and shown, for `%diff`."""
