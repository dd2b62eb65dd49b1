"""Pure data, no I/O: items and events, the assembler that makes a stream of them, its fold, its wire form."""
