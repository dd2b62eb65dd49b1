"""The store: everything that a runtime keeps."""
