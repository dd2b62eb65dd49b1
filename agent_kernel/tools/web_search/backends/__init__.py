"""The services that can search the web; `configured.py` has their table."""
