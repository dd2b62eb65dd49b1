"""The protocol without I/O: items and events, the assembler of a stream, its fold and its wire format."""
