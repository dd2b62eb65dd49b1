"""Code that goes into exported notebooks. It runs where they run, and needs the standard library alone."""
