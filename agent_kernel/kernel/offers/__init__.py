"""What a notebook's requests offer to the model."""
