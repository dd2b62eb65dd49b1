"""A Responses API: the contract (`base`), its body in this process (`local`) and over HTTP (`remote`)."""
