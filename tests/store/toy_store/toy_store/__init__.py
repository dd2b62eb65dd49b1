"""A store for the tests, in a package of its own."""
