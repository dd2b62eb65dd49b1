"""The endpoints of vector stores and of uploads in parts."""
