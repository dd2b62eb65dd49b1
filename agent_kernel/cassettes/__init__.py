"""Cassettes: what a model said in a notebook, and what its calls printed, as YAML files.

`cassette` has the types, `reading` and `writing` the files, `text` the form in which outputs are kept,
`redaction` what is taken out, and `drift` the comparison of a run with a cassette. No package here runs
anything.
"""
