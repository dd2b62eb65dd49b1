"""What runs with the interpreter and the modules of a build, old or new: only what both have is imported."""
