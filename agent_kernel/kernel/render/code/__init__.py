"""Notebook outputs for code that ran: the code, what it printed, and what it displayed."""
