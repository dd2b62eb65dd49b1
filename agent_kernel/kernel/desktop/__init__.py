"""The desktop of a notebook's container in a browser tab."""
