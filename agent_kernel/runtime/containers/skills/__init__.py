"""The skills in containers: what requests bring, and how it gets there."""
