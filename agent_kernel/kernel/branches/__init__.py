"""Going back: the tree of a notebook's cells, the points to go back to, and its branches."""
