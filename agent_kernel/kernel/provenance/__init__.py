"""Where the figures of an answer come from: the outputs of the same turn, or nowhere."""
