"""Types of requests, by what they are about; `protocol.params` has those of turns and containers."""
