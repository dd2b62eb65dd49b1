"""The notebook that a kernel works for: where its file is now, and the settings in its metadata."""
