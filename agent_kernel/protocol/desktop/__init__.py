"""What the items of the tool `computer` say, for readers of conversations."""
