"""The tool `computer`: a desktop in the container, used through screenshots and actions."""
