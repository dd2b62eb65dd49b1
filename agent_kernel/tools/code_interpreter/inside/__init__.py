"""The program of a session. It runs inside the sandbox and needs only Python's standard library.

`program.source` on the host's side sends these modules over the stream, in the order of `ORDER`.
"""

HERE = __name__
ORDER = (
    "names",
    "record",
    "capture",
    "figures",
    "representations",
    "screen",
    "shim",
    "hooks",
    "helping",
    "engine",
    "ipython",
    "r",
    "live",
    "variables",
    "asked",
    "session",
)
