"""Many people on one server, simulated."""
