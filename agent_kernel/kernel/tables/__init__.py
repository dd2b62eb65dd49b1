"""Read tables of text: delimited text and JSON. Pure. Other formats are read inside the container."""
