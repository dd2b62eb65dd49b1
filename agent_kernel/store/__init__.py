"""What a runtime keeps."""
