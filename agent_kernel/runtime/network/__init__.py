"""The network of containers: policies, decisions, and the record of what was used and refused."""
