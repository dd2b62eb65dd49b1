"""The endpoints of skills."""
