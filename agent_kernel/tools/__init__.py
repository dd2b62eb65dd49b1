"""The tools that the runtime carries out for a model."""
