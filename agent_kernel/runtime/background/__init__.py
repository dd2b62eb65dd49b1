"""Background turns: journal, ownership and recovery."""
