"""What is possible where host and sandbox share a kernel: sockets that change hands."""
